"""Test failovers at the command line, on simulated routers: what is planned, proven and refused, what status,
history and readiness say, and how a test ends.  On real kernels: test_failover_lab.py.
"""
import datetime
import json
import os
import sqlite3
import time

import pytest

from clitool import FERRY, ROOT, Cli, until

pytestmark = pytest.mark.skipif(not FERRY, reason="$FERRY is not set")

TOPOLOGY = os.path.join(ROOT, "topologies", "test-failover.json")
APP = ["test-failover", "--move", "app=recovery", "--yes"]


def simulate(document):
    for router in document["routers"]:
        router["driver"] = {"type": "sim"}


def subnet(document, name="app"):
    return next(s for s in document["subnets"] if s["name"] == name)


@pytest.fixture(name="cli")
def make_cli(tmp_path):
    cli = Cli(tmp_path, TOPOLOGY)
    cli.edit(simulate)
    return cli


def production(cli):
    return [(s["name"], s["active"], s["attached"], s["drift"]) for s in cli.json("status")["subnets"]]


def copies(cli):
    """Where the recovery router has copies attached: it serves nothing itself."""
    return [g["interface"] for g in cli.sim("tf-recovery")["gateways"]]


def begin(cli, *more, window="1h"):
    return cli.json(*APP, "--for", window, *more, rc=7)


# ---- The plan. ----

def test_the_plan_touches_the_test_alone(cli):
    plan = cli.json(*APP, "--dry-run")["plan"]
    assert plan["mode"] == "test" and plan["proof"]["states"]
    (group,) = plan["groups"]
    assert group["from"] is None and group["to"] == "recovery" and group["initial"] == {}
    (copy,) = group["subnets"]
    assert copy == {"name": "app.test", "prefix": "192.168.1.0/24", "gateways": [
        {"router": "tf-recovery", "interface": "test0", "address": "192.168.1.1/24", "isolated": True}]}
    changes = [c for stage in plan["stages"] for c in stage["changes"]]
    assert changes and {c["router"] for c in changes} == {"tf-recovery"}
    assert {c.get("table") for c in changes} == {4201}
    assert not cli.json("history")["transactions"]


def test_a_shadow_prefix_and_a_bridge_of_its_own(cli):
    plan = cli.json("test-failover", "--move", "web=recovery", "--move", "app=recovery", "--dry-run")["plan"]
    copies = {s["name"]: s for g in plan["groups"] for s in g["subnets"]}
    assert copies["web.test"]["prefix"] == "10.99.2.0/24" and copies["web.test"]["gateways"][0]["make"] == "bridge test1"
    assert len(plan["groups"]) == 2, "each has a table to itself"


def tampered(cli, change):
    plan = cli.json(*APP, "--dry-run")["plan"]
    change(plan)
    path = cli.path("test.plan")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(plan, f)
    return path


def all_changes(plan):
    return [c for stage in plan["stages"] for c in stage["changes"]]


def in_main(plan):
    for c in all_changes(plan):
        c.pop("table", None)
    for c in all_changes(plan):
        for side in ("before", "after"):
            if c[side]:
                c[side].pop("table", None)


def not_isolated(plan):
    del plan["groups"][0]["subnets"][0]["gateways"][0]["isolated"]


def not_empty(plan):
    plan["groups"][0]["covers"] = {"tf-recovery": {"prefix": "192.168.0.0/16", "entry": {"type": "blackhole", "metric": 5, "table": 4201}}}


def a_way_out(plan):
    gateway = next(c for c in all_changes(plan) if c["kind"] == "gateway")
    plan["stages"].insert(0, {"phase": "prepare", "changes": [
        {"router": "tf-recovery", "group": gateway["group"], "kind": "route", "metric": 30, "table": gateway.get("table", 4201),
         "before": None, "after": {"type": "unicast", "metric": 30, "table": 4201, "protocol": "ferry",
                                   "nexthops": [{"router": "tf-primary", "via": "10.255.12.1", "dev": "to-primary"}]}}]})


def called_planned(plan):
    plan["mode"] = "planned"


@pytest.mark.parametrize("change, words", [(in_main, "table"), (not_isolated, "not isolated"), (not_empty, "not empty"),
                                           (a_way_out, "way out"), (called_planned, "for test failovers alone")],
                         ids=lambda x: getattr(x, "__name__", None))
def test_the_prover_refuses(cli, change, words):
    error = cli.json("prove", tampered(cli, change), rc=4)
    text = json.dumps(error)
    assert "test-isolated" in text and words in text


def test_a_plan_of_a_test_is_no_move(cli):
    assert cli.error("apply", tampered(cli, lambda plan: None), "--yes", rc=4)["rule"] == "test-isolated"
    assert not cli.json("history")["transactions"]


# ---- What is refused. ----

def test_a_subnet_without_a_test(cli):
    cli.edit(lambda d: subnet(d).pop("test"))
    error = cli.error(*APP, rc=4)
    assert error["rule"] == "test-isolated" and "docs/test-failover.md" in error["message"]


def test_not_where_it_serves(cli):
    cli.move("recovery")
    error = cli.error(*APP, rc=4)
    assert error["rule"] == "test-isolated" and "attached at recovery" in error["message"]
    assert "has no gateway at third" in cli.error("test-failover", "--move", "app=third", "--yes", rc=4)["message"]


def test_words_that_do_not_go_together(cli):
    for words in (["--cleanup", "--move", "app=recovery"], ["--for", "1h"], ["--result", "good"], ["--move", "app"],
                  ["--move", "app=recovery", "--for", "2s"], ["--move", "app=recovery", "--for", "25h"],
                  ["--move", "app=recovery", "--move", "192.168.1.0/24=recovery"], ["word"]):
        cli.run("test-failover", *words, "--yes", rc=64)
    assert cli.error("test-failover", "--move", "app=recovery", rc=4)["rule"] == "confirmation"


def edits(**members):
    return lambda d: subnet(d)["test"].update(members)


def gateway(**members):
    return lambda d: subnet(d)["test"]["gateways"][0].update(members)


@pytest.mark.parametrize("change, words", [
    (edits(table=254), "that of the kernel"), (edits(table=4202), "that of web"),
    (lambda d: d["routers"][2].update(table=4201), "that of tf-third"), (lambda d: subnet(d, "web").update(table=4201), "that of web"),
    (lambda d: subnet(d)["test"].pop("table"), "'table' is missing"), (edits(prefix="192.168.2.0/24"), "overlaps subnet 'web'"),
    (edits(prefix="10.99.0.0/16"), "family and length"), (edits(prefix="10.99.2.0/24"), "overlaps the test of 'web'"),
    (edits(gateways=[]), "needs a gateway"), (gateway(interface="lan0"), "has a gateway of a subnet"),
    (gateway(interface="to-third"), "address of its own"), (gateway(interface="br-test"), "another test's"),
    (gateway(rules=True), "rules of its own"), (gateway(interface="nope"), "no interface 'nope'"),
    (lambda d: d["routers"][1]["interfaces"][5].update(bridge=["test1", "lan0"]), "port 'lan0'"),
    (lambda d: d["routers"][1].update(driver={"type": "frr"}), "the driver frr isolates nothing"),
    (lambda d: subnet(d).update(name="a" * 60), "too long a name"), (edits(more=1), "more"),
], ids=range(18))
def test_what_a_topology_may_say(cli, change, words):
    cli.edit(change)
    assert words in cli.run("validate", rc=65).stderr


# ---- A test runs. ----

def test_it_runs_and_is_cleaned_up(cli):
    before = production(cli)
    done = begin(cli)
    tx = done["id"]
    assert done["kind"] == "test-failover" and done["state"] == "awaiting-confirm" and done["deadline"]
    assert done["production"] == {"compared": 6, "unchanged": True, "difference": None}
    assert production(cli) == before
    assert copies(cli) == ["test0"]
    shown = cli.run("status").stdout
    assert "test failover runs" in shown and "ferry test-failover --cleanup" in shown and f"ferry extend {tx}" in shown
    unfinished = cli.json("status")["unfinished"][0]
    assert unfinished["kind"] == "test-failover" and unfinished["deadline"] == done["deadline"]
    # Nothing else begins, and it is never kept.
    error = cli.error("apply", "--move", "web=recovery", "--yes", rc=4)
    assert error["rule"] == "unfinished" and "ferry test-failover --cleanup" in error["message"]
    assert cli.error(*APP, rc=4)["rule"] == "unfinished"
    assert cli.error("confirm", rc=4)["rule"] == "test-running"
    assert cli.json("extend", tx, "90m")["deadline"] > done["deadline"]
    assert cli.json("test-failover")["tests"][0]["result"] == "running"
    assert "running" in cli.run("test-failover").stdout
    done = cli.json("test-failover", "--cleanup", "--result", "failed", "--note", "no database", "--yes")
    assert done["state"] == "undone" and done["reason"] == "the test was cleaned up"
    assert not copies(cli) and production(cli) == before
    (test,) = cli.json("test-failover")["tests"]
    assert (test["id"], test["result"], test["note"]) == (tx, "failed", "no database")
    assert cli.json("test-failover", "--cleanup", "--yes")["nothing_to_do"] is True
    assert cli.json("audit", "verify")
    cli.move("recovery")


class Meanwhile(str):
    """An answer that takes its time: something else happens before it is given."""
    do = None

    def encode(self, *args):
        self.do()
        return super().encode(*args)


def test_it_ends_at_once_where_production_is_not_as_it_was(cli):
    cli.move("recovery")
    cli.move("primary")
    answer = Meanwhile("yes")
    answer.do = lambda: cli.sim_edit("tf-primary", lambda d: d.update(gateways=[]))
    status, shown = cli.terminal("test-failover", "--move", "app=recovery", answer=[answer])
    assert status == 5 and "production is not as it was before the test" in shown and "untouched" not in shown, shown
    assert not copies(cli) and cli.json("test-failover")["tests"][0]["state"] == "undone"


def test_a_rollback_ends_it_too(cli):
    begin(cli)
    assert cli.json("rollback", "--yes")["state"] == "undone"
    assert cli.json("test-failover")["tests"][0]["result"] == "over"


def test_it_ends_by_itself(cli):
    before = production(cli)
    begin(cli, window="5s")
    until("it to be settled", lambda: cli.run("recover", rc=None).returncode == 0)
    assert not copies(cli) and production(cli) == before
    (test,) = cli.json("test-failover")["tests"]
    assert test["result"] == "over" and cli.json("show", test["id"])["reason"] == "the test's time was over"
    assert "--result" in cli.error("test-failover", "--note", "who knows", rc=64)["message"]
    cli.run("test-failover", "--result", "passed", "--note", "said later")
    assert cli.json("test-failover")["tests"][0]["result"] == "passed"


def test_what_is_said_later_goes_beside_what_was_said_before(cli):
    def said():
        test = cli.json("test-failover")["tests"][0]
        return test["result"], test["note"]
    begin(cli)
    for words in (["--result", "passed"], ["--note", "slow"]):
        assert cli.error("test-failover", *words, "--yes", rc=4)["rule"] == "test-running"
    assert said() == ("running", None) and copies(cli)
    cli.run("test-failover", "--cleanup", "--result", "failed", "--yes")
    cli.run("test-failover", "--note", "no licence")
    assert said() == ("failed", "no licence"), "a note is no praise"
    moves = [m for s in cli.json("status", "--readiness")["readiness"]["subnets"] for m in s["moves"]]
    assert moves and all(m["last_test"] is None for m in moves)
    cli.run("test-failover", "--result", "passed")
    assert said() == ("passed", "no licence")


def test_extended_too_late_it_is_over_not_broken(cli):
    test = begin(cli, window="5s")
    end = datetime.datetime.fromisoformat(test["deadline"].replace("Z", "+00:00")).timestamp()
    until("the routers' clocks", lambda: time.time() > end + 2)
    cli.run("extend", test["id"], "1h", rc=5)
    assert cli.json("test-failover")["tests"][0]["result"] == "over"


def test_what_was_never_whole_has_not_passed(cli):
    begin(cli)
    cli.run("rollback", "--yes")
    with sqlite3.connect(os.path.join(cli.state_dir, "journal.db")) as journal:
        journal.execute("UPDATE txn SET reason = 'SIGINT'")
    assert cli.json("test-failover")["tests"][0]["result"] == "broken"
    assert cli.error("test-failover", "--result", "passed", rc=4)["rule"] == "test-broken"
    cli.run("test-failover", "--result", "failed")


def test_readiness_knows_the_last_test(cli):
    def last():
        ready = cli.json("status", "--readiness")["readiness"]["subnets"]
        return {s["name"]: {m["to"]: (m["last_test"], m["test"]) for m in s["moves"]} for s in ready}
    assert last()["app"]["recovery"] == (None, None)
    tx = begin(cli)["id"]
    cli.run("test-failover", "--cleanup", "--yes")
    when, test = last()["app"]["recovery"]
    assert test == tx and when.endswith("Z") and last()["web"]["recovery"] == (None, None)
    assert when in cli.run("status", "--readiness").stdout


def test_without_a_journal(cli):
    assert cli.json("test-failover") == {"tests": []}
    assert "No test failovers yet" in cli.run("test-failover").stdout
    assert cli.json("test-failover", "--cleanup", "--yes")["nothing_to_do"] is True
    assert "no test failover yet" in cli.error("test-failover", "--result", "passed", rc=64)["message"]
    assert not os.path.exists(cli.state_dir)


def test_completion(cli):
    offered = cli.run("__complete", "ferry test-failover --").stdout.split()
    assert {"--move", "--for", "--cleanup", "--result", "--note"} <= set(offered)
    assert cli.run("__complete", "ferry test-failover --result ").stdout.split() == ["passed", "failed"]
    assert "app=recovery" in cli.run("__complete", "ferry test-failover --move app=").stdout.split()
