"""Kinds of move: a subnet that moves as a whole, one that is stretched, machines that get other addresses; and
plans that mix them.  One test a rule of docs/site-recovery.md, on topologies/kinds.json with simulated
routers.
"""
import hashlib
import json
import os

import pytest
from clitool import FERRY, ROOT, Cli

pytestmark = pytest.mark.skipif(not FERRY, reason="FERRY names no program")

EXAMPLE = os.path.join(ROOT, "topologies", "kinds.json")
RETAINED, STRETCHED, CHANGED = (["--network", f"{kind}-Primary"] for kind in ("Retained", "Stretched", "Changed"))
ALL = RETAINED + STRETCHED + CHANGED


def simulated(document):
    for router in document["routers"]:
        router["driver"] = {"type": "sim"}


def machine(document, name):
    return next(w for w in document["workloads"] if w["name"] == name)


def network(document, name):
    return next(n for n in document["vm-networks"] if n["name"] == name)


def subnet(document, name):
    return next(s for s in document["subnets"] if s["name"] == name)


@pytest.fixture(name="cli")
def make_cli(tmp_path):
    cli = Cli(tmp_path, EXAMPLE)
    cli.edit(simulated)
    return cli


def states(cli):
    """What every simulated router holds, the order aside; those that were never written to hold what the
    topology says.
    """
    return {r: json.dumps(cli.sim(r), sort_keys=True) for r in ("kind-primary", "kind-recovery", "kind-third")
            if os.path.exists(cli.sim_file(r))}


def given(document):
    return [(a["machine"], a["network"], a["before"], a["network_after"], a["after"], a["reason"]) for a in document["addresses"]]


def after(cli, name):
    return next((r["after"], r["reason"]) for r in cli.json("addresses", name)["addresses"])


# ---- The whole subnet moves: its drawback ----

def test_every_machine_that_moves_along_is_listed_in_the_warnings(cli):
    plan = cli.json("plan", "--move", "app=recovery")
    assert "app: the whole subnet moves from primary to recovery; machines that move along: app-1, app-2" in plan["warnings"]
    assert "machines that move along: app-1, app-2" in cli.run("plan", *RETAINED).stdout


def test_machines_that_move_back_are_listed(cli):
    cli.move("recovery")
    assert ("app: the whole subnet moves from recovery to primary; machines that move along: app-1, app-2"
            in cli.json("plan", "--failback")["warnings"])


def test_many_machines_are_all_listed(cli):
    names = [f"machine-{i}" for i in range(2000)]
    cli.edit(lambda d: (network(d, "Retained-Primary")["subnets"][0].update(prefix="10.1.0.0/16"),
                         subnet(d, "app").update(prefix="10.1.0.0/16", gateways=[dict(g, address="10.1.0.1/16")
                                                                                 for g in subnet(d, "app")["gateways"]]),
                         network(d, "Retained-Primary").update(pool=[]), machine(d, "app-1").update(address="10.1.0.10"),
                         machine(d, "app-2").update(address="10.1.0.11"),
                         d["workloads"].extend({"name": n, "network": "Retained-Primary", "address": f"10.1.{1 + i // 250}.{1 + i % 250}"}
                                               for i, n in enumerate(names))))
    warning = next(w for w in cli.json("plan", "--move", "app=recovery")["warnings"] if "move along" in w)
    assert warning.endswith("along: " + ", ".join(["app-1", "app-2"] + names))


def test_a_machine_that_is_not_ready_refuses_the_plan(cli):
    cli.edit(lambda d: machine(d, "app-2").update(ready=False))
    for argv in (["plan", "--move", "app=recovery"], ["plan", *RETAINED], ["apply", "--move", "app=recovery", "--yes"]):
        error = cli.error(*argv, rc=4)
        assert error["rule"] == "not-ready" and "app-2 is not ready" in error["message"] and "app-1" not in error["message"]
    assert not os.path.exists(cli.state_dir)


def test_not_ready_is_overridden_by_name_and_journalled(cli):
    cli.edit(lambda d: machine(d, "app-2").update(ready=False))
    cli.run("plan", "--move", "app=recovery", "--override-rule", "not-ready", "--out", cli.path("plan"))
    done = cli.json("apply", cli.path("plan"), "--yes")
    assert [(o["rule"], "app-2 is not ready" in o["refused"]) for o in done["overrides"]] == [("not-ready", True)]
    assert cli.json("show", "last")["overrides"] == done["overrides"]
    assert cli.active() == "recovery"


def test_a_saved_plan_that_lost_its_override_is_refused(cli):
    cli.edit(lambda d: machine(d, "app-2").update(ready=False))
    cli.run("plan", "--move", "app=recovery", "--override-rule", "not-ready", "--out", cli.path("plan"))
    with open(cli.path("plan"), encoding="utf-8") as f:
        document = json.load(f)
    del document["overrides"], document["id"]
    with open(cli.path("plan"), "w", encoding="utf-8") as f:
        json.dump(document, f)
    assert cli.error("apply", cli.path("plan"), "--yes", rc=4)["rule"] == "not-ready"


def test_not_ready_asks_of_the_moving_subnet_alone(cli):
    cli.edit(lambda d: (machine(d, "db-1").update(ready=False), machine(d, "web-1").update(ready=False)))
    cli.run("plan", "--move", "app=recovery")
    cli.run("plan", "--move", "web=recovery")  # stretched: its machines move one by one


# ---- Stretched ----

def stages(plan, subnets):
    """(phase, router, what) of each change; `what`: + or - and the kind."""
    groups = {g["id"] for g in plan["groups"] if {s["name"] for s in g["subnets"]} == subnets}
    return [[(s["phase"], c["router"], ("+" if c["before"] is None else "-" if c["after"] is None else "~") + c["kind"])
             for c in s["changes"] if c["group"] in groups] for s in plan["stages"]]


def test_stretched_the_new_side_is_attached_before_the_old_is_left(cli):
    plan = cli.json("plan", "--move", "web=recovery")
    assert [g["stretched"] for g in plan["groups"]] == [True]
    flat = [c for s in stages(plan, {"web"}) for c in s]
    assert flat.index(("prepare", "kind-recovery", "+gateway")) < flat.index(("prepare", "kind-third", "~route"))
    assert flat.index(("prepare", "kind-third", "~route")) < flat.index(("detach", "kind-primary", "-gateway"))
    assert not any(c["after"] and c["after"]["type"] == "blackhole" for s in plan["stages"] for c in s["changes"])
    assert "attach" not in [s["phase"] for s in plan["stages"]]


def test_stretched_warns_of_the_shared_fault_domain(cli):
    plan = cli.json("plan", "--move", "web=recovery")
    assert any("web is stretched: it lives at primary and recovery at once, which are one fault domain" in w for w in plan["warnings"])
    assert not any("fault domain" in w for w in cli.json("plan", "--move", "app=recovery")["warnings"])


def test_stretched_there_and_back_and_drilled(cli):
    cli.run("plan", "--move", "web=recovery", "--out", cli.path("plan"))
    assert "safe" in cli.run("prove", cli.path("plan")).stdout.lower()
    cli.move("recovery")
    cli.move("primary")  # so that every router has a file
    before = states(cli)
    done = cli.json("apply", "--move", "web=recovery", "--yes")
    assert done["state"] == "committed" and cli.active("web") == "recovery"
    assert cli.json("status")["differences"] is False
    cli.json("rollback", "--yes")
    assert states(cli) == before
    assert cli.json("drill", "--move", "web=recovery", "--yes")["rolled_back_verified"]
    assert states(cli) == before


def attach_at_both(cli):
    cli.move("recovery", "web")
    cli.move("primary", "web")
    gateway = next(g for g in cli.sim("kind-primary")["gateways"] if g["prefix"] == "192.168.2.0/24")
    cli.sim_edit("kind-recovery", lambda d: d.setdefault("gateways", []).append(gateway))


def attached(cli, name):
    return sorted(next(s for s in cli.json("status")["subnets"] if s["name"] == name)["attached"])


@pytest.mark.parametrize("site, to", [("recovery", "primary"), ("primary", "recovery")])
def test_stretched_at_both_sites_is_evacuated_from_either(cli, site, to):
    def gateways_everywhere(d):
        for name, other in (("db", "kind-recovery"), ("db-recovery", "kind-primary")):
            gateways = subnet(d, name)["gateways"]
            gateways.append(dict(gateways[0], router=other))
    cli.edit(gateways_everywhere)
    attach_at_both(cli)
    cli.run("apply", "--evacuate", site, "--to", to, "--yes")
    assert attached(cli, "web") == ["kind-" + to]


def test_a_rollback_stretches_nothing_that_is_not_stretched_any_more(cli):
    cli.move("recovery", "web")
    cli.edit(lambda d: subnet(d, "web").pop("stretched") and network(d, "Stretched-Primary").pop("move"))
    for how in ("--dry-run", "--yes"):
        assert cli.error("rollback", how, rc=4)["rule"] == "two-sites"
    assert attached(cli, "web") == ["kind-recovery"]
    cli.move("primary", "web")


def test_stretched_at_both_sites_is_no_drift_and_can_be_left_either_way(cli):
    """As it is in the middle of its move, or by somebody's hand."""
    attach_at_both(cli)
    status = next(s for s in cli.json("status")["subnets"] if s["name"] == "web")
    assert status["active"] == "primary" and sorted(status["attached"]) == ["kind-primary", "kind-recovery"]
    assert not [d for d in status["drift"] if d["what"] == "two sites"]
    done = cli.json("apply", "--move", "web=recovery", "--yes")
    assert done["state"] == "committed" and cli.active("web") == "recovery"
    cli.run("rollback", "--yes")
    assert attached(cli, "web") == ["kind-primary", "kind-recovery"]


def test_only_stretched_subnets_may_be_at_two_sites(cli):
    """The same document of a subnet that is not: the topology is asked, and the prover."""
    cli.run("plan", "--move", "web=recovery", "--out", cli.path("plan"))
    with open(cli.path("plan"), encoding="utf-8") as f:
        document = json.load(f)
    del document["groups"][0]["stretched"], document["id"]
    with open(cli.path("other"), "w", encoding="utf-8") as f:
        json.dump(document, f)
    assert "Not safe: two-sites" in cli.run("prove", cli.path("other"), rc=4).stdout
    cli.edit(lambda d: subnet(d, "web").pop("stretched") and network(d, "Stretched-Primary").pop("move"))
    with open(cli.path("plan"), encoding="utf-8") as f:
        document = json.load(f)
    with open(cli.topology, "rb") as f:
        document["topology"]["sha256"] = hashlib.sha256(f.read()).hexdigest()
    del document["id"]
    with open(cli.path("other"), "w", encoding="utf-8") as f:
        json.dump(document, f)
    error = cli.error("apply", cli.path("other"), "--yes", rc=4)
    assert error["rule"] == "topology" and "stretched" in error["message"]


def test_stretched_and_a_routing_protocol_are_refused(cli):
    cli.edit(lambda d: d["routers"][2].update(routing="bgp"))
    assert cli.error("plan", "--move", "web=recovery", rc=4)["rule"] == "routing"
    cli.run("plan", "--move", "app=recovery")


@pytest.mark.parametrize("change, words", [
    (lambda d: subnet(d, "db").update(stretched=True), "a stretched subnet has gateways at two sites or more"),
    (lambda d: d["routers"][1]["interfaces"].append({"name": "br7", "bridge": ["to-third"]}), "'to-third' has addresses"),
    (lambda d: d["routers"][1]["interfaces"].append({"name": "br7", "bridge": ["lan7"]}), "has no interface 'lan7'"),
    (lambda d: d["routers"][1]["interfaces"].append({"name": "br7", "bridge": ["lan0"], "addresses": ["10.7.0.1/24"]}),
     "it has no addresses of its own"),
    (lambda d: d["routers"][1]["interfaces"].append({"name": "x7", "bridge": ["lan0"], "vlan": {"parent": "lan0", "id": 7}}),
     "exclude each other"),
    (lambda d: subnet(d, "db").update(stretched="yes"), "stretched"),
    (lambda d: network(d, "Changed-Primary").update(move="by-hand"), "none of subnet-failover, stretched, change-address"),
    (lambda d: machine(d, "db-1").update(ready="no"), "ready"),
])
def test_validate_says_what_is_wrong(cli, change, words):
    cli.edit(change)
    assert words in cli.run("validate", rc=65).stderr


# ---- The kind is the network's ----

@pytest.mark.parametrize("name, kind, words", [
    ("Changed-Primary", "subnet-failover", "has other addresses in Changed-Recovery"),
    ("Changed-Primary", "stretched", "has other addresses in Changed-Recovery"),
    ("Retained-Primary", "stretched", "the routed subnet app is not stretched"),
    ("Stretched-Primary", "subnet-failover", "the routed subnet web is stretched"),
])
def test_a_kind_that_does_not_fit_is_refused(cli, name, kind, words):
    cli.edit(lambda d: network(d, name).update(move=kind))
    assert words in cli.run("plan", "--network", name, rc=64).stderr


def test_without_a_kind_prefixes_decide(cli):
    cli.edit(lambda d: [n.pop("move") for n in d["vm-networks"]])
    plan = cli.json("plan", *ALL)
    assert sorted(s["name"] for g in plan["groups"] for s in g["subnets"]) == ["app", "web"]
    assert {a["after"] for a in plan["addresses"] if a["network"] == "Changed-Primary"} == {"172.16.1.10", "172.16.1.11"}


def test_change_address_changes_no_route_even_of_the_same_prefix(cli):
    cli.edit(lambda d: network(d, "Retained-Primary").update(move="change-address"))
    plan = cli.json("plan", *RETAINED)
    assert plan["stages"] == [] and plan["groups"] == []
    assert [a["machine"] for a in plan["addresses"]] == ["app-1", "app-2"]


# ---- Other addresses ----

def test_change_address_has_no_route_changes_and_says_before_and_after(cli):
    plan = cli.json("plan", *CHANGED)
    assert plan["stages"] == []
    assert given(plan) == [("db-1", "Changed-Primary", "192.168.5.10", "Changed-Recovery", "172.16.1.10", "outside-pool"),
                           ("db-2", "Changed-Primary", "192.168.5.11", "Changed-Recovery", "172.16.1.11", "outside-pool")]
    text = cli.run("plan", *CHANGED).stdout
    assert "db-1 nic0: 192.168.5.10 (Changed-Primary)" in text and "172.16.1.10 (Changed-Recovery)" in text
    assert "no route changes" in text and "Nothing to do" not in text
    cli.run("plan", *CHANGED, "--detailed-exitcode", rc=2)


def test_a_reserved_address_becomes_the_machines_at_the_apply(cli):
    cli.run("addresses", "db-2", "--reserve", "--yes")
    cli.edit(lambda d: d["workloads"].insert(3, {"name": "db-0", "network": "Changed-Primary", "address": "192.168.5.9"}))
    assert after(cli, "db-2") == ("172.16.1.11", "reserved")
    done = cli.json("apply", *CHANGED, "--yes")
    assert done["state"] == "committed" and ("db-2", "172.16.1.11") in [(a["machine"], a["after"]) for a in done["addresses"]]
    assert after(cli, "db-2") == ("172.16.1.11", "assigned")
    assert (after(cli, "db-0"), after(cli, "db-1")) == (("172.16.1.10", "assigned"), ("172.16.1.12", "assigned"))
    assert cli.run("apply", *CHANGED, "--yes").stdout.startswith("Nothing to do")


def test_what_was_assigned_is_given_to_nobody_else(cli):
    cli.run("apply", *CHANGED, "--yes")
    cli.edit(lambda d: d["workloads"].insert(0, {"name": "db-0", "network": "Changed-Primary", "address": "192.168.5.9"}))
    assert after(cli, "db-0") == ("172.16.1.12", "outside-pool")


def test_an_assignment_goes_back_with_the_rollback(cli):
    cli.run("addresses", "db-1", "--reserve", "--yes")
    cli.run("apply", *CHANGED, "--yes")
    back = cli.json("rollback", "--yes")
    assert [(a["before"], a["after"]) for a in back["addresses"]][0] == ("172.16.1.10", "192.168.5.10")
    assert after(cli, "db-1") == ("172.16.1.10", "reserved") and after(cli, "db-2") == ("172.16.1.11", "outside-pool")
    cli.run("apply", *CHANGED, "--yes")
    assert after(cli, "db-1") == ("172.16.1.10", "assigned")


def test_a_drill_leaves_no_assignment(cli):
    assert cli.json("drill", *CHANGED, "--yes")["rolled_back_verified"]
    assert after(cli, "db-1") == ("172.16.1.10", "outside-pool")


def test_an_assignment_after_a_crash_is_what_the_recovery_makes_of_it(cli):
    """The program dies in the middle; the addresses follow their transaction, without a write of their own."""
    cli.edit(lambda d: d.update(hooks={"before-settle": [{"run": ["/bin/sh", "-c", "kill -9 $PPID"], "undo": ["/bin/true"]}]}))
    cli.run("addresses", "db-1", "--reserve", "--yes")
    cli.run("apply", *CHANGED, *RETAINED, "--yes", rc=-9)
    assert after(cli, "db-1") == ("172.16.1.10", "assigned")  # until it is known better nobody else gets it
    cli.run("recover")
    assert after(cli, "db-1") == ("172.16.1.10", "reserved") and after(cli, "db-2") == ("172.16.1.11", "outside-pool")
    assert cli.active() == "primary"


def test_an_assignment_that_nobody_confirms_goes_back(cli):
    cli.run("apply", *CHANGED, *RETAINED, "--yes", "--confirm-within", "1h", rc=7)
    assert after(cli, "db-1") == ("172.16.1.10", "assigned")
    cli.run("rollback", "--yes")
    assert after(cli, "db-1") == ("172.16.1.10", "outside-pool") and cli.active() == "primary"
    cli.run("apply", *CHANGED, "--yes", "--confirm-within", "1h", rc=7)  # of no router, yet a person's to keep
    cli.run("confirm")
    assert after(cli, "db-1") == ("172.16.1.10", "assigned")


def test_failback_gives_machines_their_own_addresses_again(cli):
    cli.run("apply", *ALL, "--yes")
    plan = cli.json("plan", "--failback")
    assert sorted(s["name"] for g in plan["groups"] for s in g["subnets"]) == ["app", "web"]
    assert ("db-1", "Changed-Recovery", "172.16.1.10", "Changed-Primary", "192.168.5.10", "own") in given(plan)
    cli.run("apply", "--failback", "--yes")
    assert after(cli, "db-1") == ("172.16.1.10", "outside-pool") and cli.active() == "primary"
    assert cli.run("apply", "--failback", "--yes").stdout.startswith("Nothing to do")


def test_failback_of_one_network(cli):
    cli.run("apply", *ALL, "--yes")
    plan = cli.json("plan", "--failback", *STRETCHED, *CHANGED)
    assert [s["name"] for g in plan["groups"] for s in g["subnets"]] == ["web"]
    assert {a["machine"] for a in plan["addresses"]} == {"web-1", "db-1", "db-2"}


def test_a_plan_whose_machine_has_another_address_by_now_is_drift(cli):
    cli.run("plan", *CHANGED, "--out", cli.path("plan"))
    cli.run("apply", cli.path("plan"), "--yes")
    assert "db-1 (nic0) is not at 192.168.5.10" in cli.error("apply", cli.path("plan"), "--yes", rc=3)["message"]
    assert len(cli.json("history")["transactions"]) == 1


def test_an_address_that_somebody_else_has_reserved_by_now_is_refused(cli):
    cli.run("plan", *CHANGED, "--out", cli.path("plan"))
    cli.edit(lambda d: d["workloads"].insert(0, {"name": "db-0", "network": "Changed-Primary", "address": "192.168.5.9"}))
    cli.run("addresses", "db-0", "--reserve", "--yes")
    cli.edit(lambda d: d["workloads"].pop(0))
    error = cli.error("apply", cli.path("plan"), "--yes", rc=4)
    assert error["rule"] == "reserved" and "reserved for db-0" in error["message"]


@pytest.mark.parametrize("change, words", [
    (lambda a: a.append(dict(a[0])), "that or another twice"),
    (lambda a: a[1].update(after=a[0]["after"]), "that or another twice"),
    (lambda a: a[0].update(after="192.0.2.1"), "no move by the topology"),
    (lambda a: a[0].update(network="Retained-Primary"), "no move by the topology"),
    (lambda a: a[0].update(before="192.168.5.11"), "no move by the topology"),
    (lambda a: a[0].update(nic="nic7"), "no move by the topology"),
    (lambda a: a[0].update(machine="app-1"), "no move by the topology"),
])
def test_addresses_of_a_handmade_plan_are_those_of_the_topology(cli, change, words):
    plan = cli.json("plan", *CHANGED)
    plan.pop("id")
    change(plan["addresses"])
    with open(cli.path("plan"), "w", encoding="utf-8") as f:
        json.dump(plan, f)
    error = cli.error("apply", cli.path("plan"), "--yes", rc=4)
    assert error["rule"] == "topology" and words in error["message"]
    assert not os.path.exists(cli.state_dir)


@pytest.mark.parametrize("change, words", [
    ({"router": "ns1", "group": "g1", "kind": "route", "metric": 20, "before": None, "after": {"type": "blackhole"}},
     "changes app on ns1, which is a name server"),
    ({"router": "kind-third", "group": "d1", "kind": "dns", "record": "A", "before": None,
      "after": {"type": "dns", "record": "A", "ttl": 300, "data": ["172.16.1.10"]}}, "which has not its zone"),
])
def test_routes_are_of_routers_and_records_of_name_servers(cli, change, words):
    cli.edit(lambda d: (machine(d, "db-1").update(dns="db.example.test"), d.update({"name-servers": [
        {"name": "ns1", "site": "third", "address": "192.0.2.53", "key-file": "/nowhere", "zones": ["example.test"]}]})))
    plan = cli.json("plan", *RETAINED, *CHANGED, "--offline")
    plan.pop("id")
    plan["stages"][0]["changes"].append(change)
    with open(cli.path("plan"), "w", encoding="utf-8") as f:
        json.dump(plan, f)
    error = cli.error("apply", cli.path("plan"), "--yes", rc=4)
    assert error["rule"] == "topology" and words in error["message"]


def test_a_dry_run_refuses_what_the_journal_would(cli):
    cli.run("plan", *CHANGED, "--out", cli.path("plan"))
    cli.run("apply", cli.path("plan"), "--dry-run")
    assert not os.path.exists(cli.state_dir)
    cli.run("apply", cli.path("plan"), "--yes")
    for how in ("--dry-run", "--yes"):
        assert "db-1 (nic0) is not at 192.168.5.10" in cli.error("apply", cli.path("plan"), how, rc=3)["message"]
    assert [t["summary"] for t in cli.json("history")["transactions"]] == ["2 addresses"]


def test_a_network_of_a_lost_site_fails_over(cli):
    cli.move("recovery")
    cli.move("primary")
    os.rename(cli.sim_file("kind-primary"), cli.path("lost"))
    os.mkdir(cli.sim_file("kind-primary"))
    assert cli.error("apply", *CHANGED, "--yes", rc=4)["rule"] == "unreachable"
    done = cli.json("apply", "--recovery-plan", "all", "--mode", "disaster", "--yes")
    assert [g["result"]["state"] for g in done["groups"]] == ["committed"] * 3
    assert after(cli, "db-1") == ("172.16.1.10", "assigned")


def test_a_machine_without_an_address_there_is_said(cli):
    cli.edit(lambda d: network(d, "Changed-Recovery").update(pool=["172.16.1.10"]))
    plan = cli.json("plan", *CHANGED)
    assert [a["machine"] for a in plan["addresses"]] == ["db-1"]
    assert any(w.startswith("db-2 nic0: no address of Changed-Recovery is left") for w in plan["warnings"])


def test_a_machine_that_is_not_ready_keeps_its_address(cli):
    cli.edit(lambda d: machine(d, "db-2").update(ready=False))
    plan = cli.json("plan", *CHANGED)
    assert [a["machine"] for a in plan["addresses"]] == ["db-1"]
    assert any("db-2 is not ready to move" in w for w in plan["warnings"])


# ---- All together ----

def test_a_plan_may_mix_the_kinds(cli):
    cli.move("recovery")
    cli.move("primary")
    before = states(cli)
    plan = cli.json("plan", *ALL, "--out", cli.path("plan"))
    assert {(s["name"], g.get("stretched", False)) for g in plan["groups"] for s in g["subnets"]} == {("app", False), ("web", True)}
    assert {a["machine"]: a["after"] for a in plan["addresses"]} == {
        "app-1": "192.168.1.10", "app-2": "192.168.1.11", "web-1": "192.168.2.10", "db-1": "172.16.1.10", "db-2": "172.16.1.11"}
    cli.run("prove", cli.path("plan"))
    done = cli.json("apply", cli.path("plan"), "--yes")
    assert done["state"] == "committed" and (cli.active("app"), cli.active("web")) == ("recovery", "recovery")
    cli.run("rollback", "--yes")
    assert states(cli) == before and after(cli, "db-1") == ("172.16.1.10", "outside-pool")


# ---- Recovery plans ----

def test_a_recovery_plan_is_a_plan_a_group_in_order(cli):
    document = cli.json("plan", "--recovery-plan", "all", "--out", cli.path("all"))
    assert (document["kind"], document["name"]) == ("recovery-plan", "all")
    assert [g["name"] for g in document["groups"]] == ["databases", "front", "applications"]
    assert [[s["name"] for g in step["plan"]["groups"] for s in g["subnets"]] for step in document["groups"]] == [[], ["web"], ["app"]]
    assert [a["machine"] for a in document["groups"][0]["plan"]["addresses"]] == ["db-1", "db-2"]
    with open(cli.path("all"), encoding="utf-8") as f:
        assert json.load(f) == document
    text = cli.run("plan", "--recovery-plan", "all").stdout
    assert [text.index(f"group {i} of 3: {n}") for i, n in ((1, "databases"), (2, "front"), (3, "applications"))] == sorted(
        text.index(f"group {i} of 3") for i in (1, 2, 3))
    cli.run("plan", "--recovery-plan", "all", "--detailed-exitcode", rc=2)


def test_a_recovery_plan_applies_group_by_group(cli):
    done = cli.json("apply", "--recovery-plan", "all", "--yes")
    assert done["recovery_plan"] == "all" and [g["name"] for g in done["groups"]] == ["databases", "front", "applications"]
    assert all(g["result"]["state"] == "committed" for g in done["groups"])
    newest_first = [t["id"] for t in cli.json("history")["transactions"]]
    assert newest_first == [g["result"]["id"] for g in reversed(done["groups"])]
    assert (cli.active("app"), cli.active("web"), after(cli, "db-1")[1]) == ("recovery", "recovery", "assigned")
    again = cli.json("apply", "--recovery-plan", "all", "--yes")
    assert [g["result"]["nothing_to_do"] for g in again["groups"]] == [True] * 3


def test_a_recovery_plan_stops_at_the_group_that_is_refused_before_anything_is_written(cli):
    cli.edit(lambda d: machine(d, "app-1").update(ready=False))
    error = cli.error("apply", "--recovery-plan", "all", "--yes", rc=4)
    assert error["rule"] == "not-ready" and error["message"].startswith("group applications")
    assert not os.path.exists(cli.path("state/journal.db"))
    cli.run("apply", "--recovery-plan", "all", "--yes", "--override-rule", "not-ready")


def test_a_drill_of_a_recovery_plan_that_stops_has_left_nothing_moved(cli):
    for verb, rc in (("drill", 1), ("apply", 6)):
        status, shown = cli.terminal(verb, "--recovery-plan", "all", answer=["yes", "no"])
        assert status == rc and ("stays so" in shown) == (verb == "apply"), shown


def test_hooks_and_pauses_of_a_group(cli):
    def change(d):
        groups = d["recovery-plans"][0]["groups"]
        groups[1]["hooks"] = {"before-detach": [{"pause": "move web-1", "undo": "move it back"}]}
        groups[2]["hooks"] = {"before-prepare": [{"run": ["/bin/sh", "-c", f"echo applications >>{cli.path('ran')}"], "undo": ["/bin/true"]}]}
    cli.edit(change)
    done = cli.json("apply", "--recovery-plan", "all", "--yes", rc=7)
    assert [(g["name"], g["result"]["state"]) for g in done["groups"]] == [("databases", "committed"), ("front", "paused")]
    assert cli.active() == "primary" and not os.path.exists(cli.path("ran"))
    cli.run("resume", "--yes")
    cli.run("apply", "--recovery-plan", "all", "--yes")  # goes on where it stopped
    with open(cli.path("ran"), encoding="utf-8") as f:
        assert f.read() == "applications\n"
    assert cli.active() == "recovery"


@pytest.mark.parametrize("change, words", [
    (lambda p: p.update(groups=[]), "one group or more"),
    (lambda p: p["groups"][0].update(networks=["nowhere"]), "no VM network 'nowhere'"),
    (lambda p: p["groups"][0].update(name="front"), "a group 'front' already"),
    (lambda p: p["groups"][1].update(networks=["Changed-Primary"]), "stands in this recovery plan already"),
    (lambda p: p["groups"][2].pop("to"), "'to'"),
    (lambda p: p["groups"][0].update(to="recovery"), "'to' goes with 'subnets'"),
    (lambda p: p["groups"][0].pop("networks"), "networks or subnets"),
])
def test_a_broken_recovery_plan_is_no_topology(cli, change, words):
    cli.edit(lambda d: change(d["recovery-plans"][0]))
    assert words in cli.run("validate", rc=65).stderr


@pytest.mark.parametrize("argv, words", [
    (["plan", "--recovery-plan", "al"], "unknown recovery plan 'al'; did you mean 'all'?"),
    (["plan", "--recovery-plan", "all", "--move", "app=recovery"], "exclude each other"),
    (["plan", "--recovery-plan", "all", "--reverse"], "--reverse is of one plan"),
    (["apply", "--recovery-plan", "all", "--confirm-within", "5m"], "no --confirm-within"),
    (["--json", "plan", "--recovery-plan", "all", "--format", "text"], "exclude each other"),
    (["plan", *CHANGED, "--dns-ttl", "30s", "--failback"], "--dns-ttl moves nothing"),
    (["plan", *CHANGED, "--dns-ttl", "30s", "--mode", "disaster"], "--dns-ttl moves nothing"),
])
def test_usage_of_recovery_plans_and_ttls(cli, argv, words):
    done = cli.run(*argv, rc=64)
    assert words in done.stdout + done.stderr


def test_recovery_plans_are_completed(cli):
    assert cli.run("__complete", "ferry plan --recovery-plan ").stdout.split() == ["all"]
