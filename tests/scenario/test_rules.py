"""The safety rules from outside: by name, overridden by name alone, kept; and selectors that select nothing."""
import json
import os
import re

import pytest
from clitool import FERRY, ROOT, Cli, until

pytestmark = pytest.mark.skipif(not FERRY, reason="FERRY names no program")

OVERRIDABLE = {"budget", "covering-route", "hold-down", "last-site", "more-specific", "name-server", "no-foreign", "not-ready", "probe-before",
               "target-address"}
EVACUATE = ["--evacuate", "primary", "--to", "recovery"]


@pytest.fixture(name="cli")
def make_cli(tmp_path):
    return Cli(tmp_path)


def topology(cli, **members):
    with open(cli.topology, encoding="utf-8") as f:
        document = json.load(f)
    document.update({key.replace("_", "-"): value for key, value in members.items()})
    with open(cli.topology, "w", encoding="utf-8") as f:
        json.dump(document, f)
    return document


def transactions(cli):
    return cli.json("history")["transactions"]


# ---- The registry ----

def test_every_rule_of_the_source_is_listed(cli):
    """Every name that a refusal can carry: ferry_refuse, ferry_rule_refuse, and the prover's violations."""
    listed = {r["name"]: r for r in cli.json("rules")["rules"]}
    assert list(listed) == sorted(listed)
    found = set()
    for folder in ("controller", "drivers", "topologies"):
        for where, _, names in os.walk(os.path.join(ROOT, folder)):
            for name in names:
                if name.endswith(".c"):
                    with open(os.path.join(where, name), encoding="utf-8") as f:
                        text = f.read()
                    calls = re.findall(r"ferry_(?:rule_)?refuse\s*\([^;\"]*?\"([a-z0-9-]+)\"", text)
                    found |= set(calls)
                    violations = re.search(r"ferry_violation_name.*?\{(.*?)\};", text, re.S)
                    if violations:
                        found |= set(re.findall(r"\"([a-z-]+)\"", violations[1])) - {"safe"}
    assert {"loop", "lost", "unfinished", "precheck", "frr-unheard"} <= found
    assert found <= set(listed), sorted(found - set(listed))
    assert {name for name, r in listed.items() if r["overridable"]} == OVERRIDABLE
    assert all(r["guards"] and bool(r["why_not"]) != r["overridable"] for r in listed.values())
    table = cli.run("rules").stdout
    assert all(re.search(rf"^{name} ", table, re.M) for name in listed)


def test_rules_of_a_topology(cli):
    topology(cli, rules={"no-foreign": True})
    on = {r["name"]: r["on"] for r in cli.json("rules")["rules"]}
    assert on["no-foreign"] and not on["covering-route"] and on["budget"]
    cli.run("rules", drop=["FERRY_TOPOLOGY"])


@pytest.mark.parametrize("name", ["site-exclusive", "loop", "drift", "lock", "confirmation", "two-sites", "unreachable"])
def test_firm_rules(cli, name):
    for verb in (["plan", "--move", "app=recovery"], ["apply", "--move", "app=recovery", "--yes"],
                 ["drill", "--move", "app=recovery", "--yes"], ["rollback", "--yes"]):
        error = cli.error(*verb, "--override-rule", name, rc=4)
        assert error["rule"] == name and "never overridden" in error["message"]
    assert not os.path.exists(cli.state_dir)


@pytest.mark.parametrize("name", ["", "budgets", "*", "all", "Budget", "budget,hold-down"])
def test_unknown_rules(cli, name):
    error = cli.error("apply", "--move", "app=recovery", "--yes", "--override-rule", name, rc=64)
    assert all(rule in error["message"] for rule in OVERRIDABLE)
    assert not os.path.exists(cli.state_dir)


# ---- budget ----

@pytest.mark.parametrize("budget", [{"withdrawals": 1}, {"percent": 50}, {"percent": 1}, {"withdrawals": 9, "percent": 99}])
def test_budget(cli, budget):
    topology(cli, budget=budget)
    for verb in ("plan", "apply"):
        error = cli.error(verb, *EVACUATE, *(["--yes"] if verb == "apply" else []), rc=4)
        assert error["rule"] == "budget" and "2 subnets would leave primary" in error["message"]
        assert "--override-rule budget" in error["message"]
    assert not os.path.exists(cli.state_dir)
    cli.run("apply", "--move", "app=recovery", "--yes")


def test_override_is_kept(cli):
    topology(cli, budget={"withdrawals": 1})
    doc = cli.json("apply", *EVACUATE, "--yes", "--override-rule", "budget", "--override-rule", "hold-down")
    assert doc["state"] == "committed"
    kept = {o["rule"]: o for o in doc["overrides"]}
    assert set(kept) == {"budget", "hold-down"}
    assert "2 subnets would leave primary" in kept["budget"]["refused"] and kept["hold-down"]["refused"] is None
    assert kept["budget"]["user"] == doc["user"] and kept["budget"]["at"] == doc["started"]
    assert "overridden: rule budget by" in cli.run("show").stdout
    back = cli.json("rollback", "--yes")  # restores: no budget of a plan asks
    assert back["state"] == "committed"


def test_saved_plan_carries_its_overrides(cli):
    topology(cli, budget={"withdrawals": 1})
    cli.run("plan", *EVACUATE, "--out", "refused.plan", rc=4)
    assert not os.path.exists(cli.path("refused.plan"))
    cli.run("plan", *EVACUATE, "--override-rule", "budget", "--out", "move.plan")
    with open(cli.path("move.plan"), encoding="utf-8") as f:
        plan = json.load(f)
    assert [o["rule"] for o in plan["overrides"]] == ["budget"] and "would leave" in plan["overrides"][0]["refused"]
    assert cli.json("apply", "move.plan", "--yes", "--dry-run")["plan"]["id"] == plan["id"]
    doc = cli.json("apply", "move.plan", "--yes")
    assert doc["plan"] == plan["id"] and doc["overrides"][0]["rule"] == "budget"


def test_a_plan_cannot_lose_or_gain_an_override(cli):
    topology(cli, budget={"withdrawals": 1})
    cli.run("plan", *EVACUATE, "--override-rule", "budget", "--out", "move.plan")
    with open(cli.path("move.plan"), encoding="utf-8") as f:
        plan = json.load(f)

    def saved(**changes):
        document = {**plan, **changes}
        document.pop("id")
        with open(cli.path("edited.plan"), "w", encoding="utf-8") as f:
            json.dump({k: v for k, v in document.items() if v is not None}, f)
        return "edited.plan"

    assert cli.error("apply", saved(overrides=None), "--yes", rc=4)["rule"] == "budget"
    for bad in ([{"rule": "loop"}], [{"rule": "nothing"}], [{"rule": "budget"}, {"rule": "budget"}], [{}], {"rule": "budget"}):
        cli.run("apply", saved(overrides=bad), "--yes", rc=65)
    with open(cli.path("edited.plan"), "w", encoding="utf-8") as f:
        json.dump({k: v for k, v in plan.items() if k != "overrides"}, f)  # with the id of what it was
    cli.run("apply", "edited.plan", "--yes", rc=65)
    assert not os.path.exists(cli.state_dir)


# ---- hold-down ----

def test_hold_down(cli):
    topology(cli, hold_down="10m")
    first = cli.json("apply", "--move", "app=recovery", "--yes")
    for verb in (["plan", "--move", "app=primary"], ["apply", "--move", "app=primary", "--yes"],
                 ["apply", "--move", "app=primary", "--dry-run"], ["drill", "--move", "app=primary", "--yes"],
                 ["apply", "--failback", "--yes"]):
        error = cli.error(*verb, rc=4)
        assert error["rule"] == "hold-down" and first["id"] in error["message"] and "600 s" in error["message"]
    cli.move("recovery", "db")  # another subnet does not rest
    assert cli.json("rollback", first["id"], "--yes")["state"] == "committed"  # a rollback needs no rest
    error = cli.error("apply", "--move", "app=recovery", "--yes", rc=4)  # but is a move
    assert error["rule"] == "hold-down"
    doc = cli.json("apply", "--move", "app=recovery", "--yes", "--override-rule", "hold-down")
    assert "app was moved" in doc["overrides"][0]["refused"]


def test_hold_down_of_a_saved_plan_and_of_drills(cli):
    topology(cli, hold_down="10m")
    cli.run("drill", "--move", "app=recovery", "--yes")  # leaves nothing, so nothing rests
    cli.run("plan", "--move", "app=recovery", "--out", "move.plan")
    cli.move("recovery", "db")
    assert cli.json("apply", "move.plan", "--yes")["state"] == "committed"
    cli.run("plan", "--move", "app=primary", "--offline", "--active", "app=recovery", "--out", "back.plan")
    error = cli.error("apply", "back.plan", "--yes", rc=4)
    assert error["rule"] == "hold-down"  # said with the lock held: planning offline looks at no journal


def test_hold_down_ends(cli):
    topology(cli, hold_down="1s")
    cli.move("recovery")

    def ended():
        done = cli.json("apply", "--move", "app=primary", "--yes", rc=None)
        assert done.get("state") == "committed" or done["error"]["rule"] == "hold-down"
        return "state" in done
    until("the end of the hold-down", ended)


# ---- no-foreign, covering-route, more-specific, last-site, probe-before ----

def test_no_foreign(cli):
    topology(cli, rules={"no-foreign": True})
    error = cli.error("plan", "--move", "app=recovery", rc=4)
    assert error["rule"] == "no-foreign" and "protocol static" in error["message"]
    plan = cli.json("plan", "--move", "app=recovery", "--override-rule", "no-foreign")
    assert "is not Ferry's" in plan["overrides"][0]["refused"]


def foreign(cli, prefix, metric=9):
    """A route that somebody has put on edge-third."""
    cli.move("recovery", "db")
    cli.run("rollback", "--yes")  # so that the routers have files

    def add(document):
        entry = next(e for e in json.loads(json.dumps(document["routes"])) if e["prefix"] == "192.168.1.0/24")
        document["routes"].append({**entry, "prefix": prefix, "metric": metric})
    cli.sim_edit("edge-third", add)


def test_more_specific(cli):
    foreign(cli, "192.168.1.128/25")
    error = cli.error("apply", "--move", "app=recovery", "--yes", rc=4)
    assert error["rule"] == "more-specific" and "192.168.1.128/25" in error["message"]
    doc = cli.json("apply", "--move", "app=recovery", "--yes", "--override-rule", "more-specific")
    assert doc["state"] == "committed" and "192.168.1.128/25" in doc["overrides"][0]["refused"]
    assert any(e["prefix"] == "192.168.1.128/25" for e in cli.sim("edge-third")["routes"])
    assert cli.json("rollback", "--yes")["state"] == "committed"
    assert any(e["prefix"] == "192.168.1.128/25" for e in cli.sim("edge-third")["routes"])


def test_covering_route(cli):
    foreign(cli, "192.168.0.0/16")
    warned = cli.json("plan", "--move", "app=recovery")["warnings"]
    assert any("192.168.0.0/16" in w for w in warned)
    topology(cli, rules={"covering-route": True})
    error = cli.error("plan", "--move", "app=recovery", rc=4)
    assert error["rule"] == "covering-route" and "192.168.0.0/16" in error["message"]
    assert cli.json("apply", "--move", "app=recovery", "--yes", "--override-rule", "covering-route")["state"] == "committed"


def test_last_site(cli):
    """A document by hand that only lets go."""
    plan = cli.json("plan", "--move", "app=recovery")
    plan.pop("id")
    plan.pop("proof")
    plan["stages"] = [s for s in plan["stages"] if s["phase"] == "detach"]
    plan["stages"][0]["changes"] = [c for c in plan["stages"][0]["changes"] if c["kind"] == "gateway"]
    with open(cli.path("let-go.plan"), "w", encoding="utf-8") as f:
        json.dump(plan, f)
    error = cli.error("apply", "let-go.plan", "--yes", rc=4)
    assert error["rule"] == "last-site" and "app would be left without a site" in error["message"]
    error = cli.error("apply", "let-go.plan", "--yes", "--override-rule", "last-site", rc=4)
    assert error["rule"] not in ("last-site", "")  # the proof is asked all the same, and is firm
    assert transactions(cli) == []


def test_probe_before(cli):
    """The topology names an address that nobody can probe: simulated routers have no LAN."""
    document = topology(cli)
    document["subnets"][0]["probe"] = "192.168.1.10"
    topology(cli, subnets=document["subnets"])
    error = cli.error("apply", "--move", "app=recovery", "--yes", rc=4)
    assert error["rule"] == "probe-before" and "192.168.1.10" in error["message"]
    cli.move("recovery", "db")  # names none
    doc = cli.json("apply", "--move", "app=recovery", "--yes", "--override-rule", "probe-before")
    assert "192.168.1.10" in doc["overrides"][0]["refused"]
    assert cli.json("rollback", "--yes")["state"] == "committed"


# ---- Empty selectors select nothing ----

@pytest.mark.parametrize("selector", [
    ["--move", ""], ["--move", "="], ["--move", "app"], ["--move", "app="], ["--move", "=recovery"], ["--move", " =recovery"],
    ["--move", "*=recovery"], ["--move", "a*=recovery"], ["--move", "app,db=recovery"], ["--move", "0.0.0.0/0=recovery"],
    ["--move", "192.168.0.0/16=recovery"], ["--move", "app=*"], ["--move", "app= "], ["--evacuate", "", "--to", "recovery"],
    ["--evacuate", "primary", "--to", ""], ["--evacuate", "*", "--to", "recovery"], ["--evacuate", "primary"],
    ["--to", "recovery"], [], ["--evacuate", "primary", "--to", "primary"], [""], ["--move", "app=recovery", "--move", ""]])
def test_selectors_that_mean_nothing(cli, selector):
    assert cli.run("plan", *selector, rc=64).stdout == ""
    for verb in ("apply", "drill"):
        rc = 65 if selector == [""] else 64
        assert cli.error(verb, *selector, "--yes", rc=rc)["message"]
    assert not os.path.exists(cli.state_dir)


@pytest.mark.parametrize("selector", [["--evacuate", "recovery", "--to", "primary"], ["--evacuate", "third", "--to", "recovery"],
                                      ["--failback"], ["--move", "app=primary"]])
def test_selectors_that_select_nothing(cli, selector):
    assert cli.json("plan", *selector, "--detailed-exitcode")["stages"] == []
    for verb in ("apply", "drill"):
        assert cli.json(verb, *selector, "--yes")["nothing_to_do"] is True
    assert not os.path.exists(os.path.join(cli.state_dir, "journal.db"))
    assert not os.path.exists(os.path.join(cli.state_dir, "sim"))
