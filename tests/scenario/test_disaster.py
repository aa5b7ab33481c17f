"""Disaster mode, debts and router policies from the command line, on simulated routers.  A router is lost where
its file leads to a directory: it cannot be read, and keeps what it held for when it comes back.
"""
import json
import os
import re

import pytest

import clitool
from clitool import World

pytestmark = pytest.mark.skipif(not clitool.FERRY, reason="FERRY is not set")


@pytest.fixture
def cli(tmp_path):
    return World(tmp_path)


def policy(router, value):
    def change(document):
        next(r for r in document["routers"] if r["name"] == router)["policy"] = value
    return change


def test_lost_moved_back_reconciled_and_home(cli):
    cli.lose("edge-primary")
    assert cli.error("plan", "--move", "app=recovery", rc=4)["rule"] == "unreachable"
    plan = cli.json("plan", "--mode", "disaster", "--move", "app=recovery")
    assert plan["mode"] == "disaster"
    assert plan["lost"] == [{"router": "edge-primary", "neighbours": ["edge-recovery", "edge-third"]}]
    assert {(d["router"], d["kind"]) for d in plan["debts"]} == {("edge-primary", "gateway"), ("edge-primary", "route")}
    assert [s["phase"] for s in plan["stages"]] == ["prepare", "detach", "attach", "settle"]
    assert all(c["router"] != "edge-primary" for s in plan["stages"] for c in s["changes"])

    done = cli.disaster()
    assert done["state"] == "committed" and done["mode"] == "disaster"
    assert cli.debts() == [("edge-primary", "app")]
    assert cli.app()["active"] == "recovery"
    assert cli.error("rollback", "--yes", rc=4)["rule"] == "last-site"
    assert cli.error("reconcile", "edge-primary", "--yes", rc=1)["code"] == 1  # it does not answer
    assert cli.json("reconcile", "--yes")["nothing_to_do"] is True
    assert cli.debts() == [("edge-primary", "app")]

    cli.back("edge-primary")
    app = cli.app()
    assert app["attached"] == ["edge-primary", "edge-recovery"] and app["drift"][0]["what"] == "two sites"
    cli.run("status", "--detailed-exitcode", rc=2)
    assert cli.error("apply", "--move", "db=recovery", "--yes", rc=4)["rule"] == "debt"
    dry = cli.json("reconcile", "--dry-run")
    assert dry["transactions"] == [] and len(dry["debts"]) == 1
    report = cli.json("reconcile", "--yes")
    assert [t["kind"] for t in report["transactions"]] == ["reconcile", "reconcile"]
    assert all(t["state"] == "committed" for t in report["transactions"]) and report["debts"] == []
    assert cli.json("status", "--detailed-exitcode")["differences"] is False
    assert cli.json("reconcile", "--yes")["nothing_to_do"] is True

    cli.run("apply", "--failback", "--yes")
    assert cli.json("status", "--detailed-exitcode")["differences"] is False
    assert cli.app()["active"] == "primary"


def test_as_after_a_planned_move(tmp_path):
    os.mkdir(tmp_path / "a")
    os.mkdir(tmp_path / "b")
    planned, lost = World(tmp_path / "a"), World(tmp_path / "b")
    planned.move("recovery")
    lost.lose("edge-primary")
    lost.disaster()
    lost.back("edge-primary")
    lost.run("reconcile", "--yes")
    for router in ("edge-primary", "edge-recovery", "edge-third"):
        assert lost.sim(router) == planned.sim(router), router


def test_it_comes_back_as_of_old_once_more(cli):
    cli.lose("edge-primary")
    cli.disaster()
    old = cli.path("old")
    with open(cli.path("edge-primary"), encoding="utf-8") as f, open(old, "w", encoding="utf-8") as g:
        g.write(f.read())
    cli.back("edge-primary")
    cli.run("reconcile", "--yes")
    os.rename(old, cli.sim_file("edge-primary"))  # an old configuration is loaded: no debt speaks of it
    assert cli.debts() == [] and cli.app()["drift"][0]["what"] == "two sites"
    cli.run("reconcile", "--yes")
    assert cli.json("status", "--detailed-exitcode")["differences"] is False and cli.app()["active"] == "recovery"


def test_two_sites_that_no_transaction_speaks_of(tmp_path):
    cli = clitool.Cli(tmp_path)
    cli.move("recovery")
    os.unlink(os.path.join(cli.state_dir, "journal.db"))
    os.unlink(cli.sim_file("edge-primary"))
    assert cli.error("reconcile", "--yes", rc=4)["rule"] == "two-sites"


@pytest.mark.parametrize("more", [[], ["--unreachable", "edge-primary"]])
def test_a_lost_site_is_evacuated(cli, more):
    """Where its subnets are nobody can say: they are taken for being there, and never for being in their place."""
    cli.lose("edge-primary")
    assert cli.error("apply", "--evacuate", "primary", "--to", "recovery", "--yes", rc=4)["rule"] == "unreachable"
    done = cli.json("apply", "--mode", "disaster", "--evacuate", "primary", "--to", "recovery", *more, "--yes")
    assert done["state"] == "committed"
    assert sorted(cli.debts()) == [("edge-primary", "app"), ("edge-primary", "db")]
    assert cli.app()["active"] == "recovery"


def test_needs_something_lost(cli):
    error = cli.error("plan", "--mode", "disaster", "--move", "app=recovery", rc=4)
    assert error["rule"] == "lost-site"
    assert cli.error("plan", "--move", "app=recovery", "--attest", "dead", rc=64)["code"] == 64
    assert cli.error("plan", "--move", "app=recovery", "--unreachable", "edge-primary", rc=64)["code"] == 64
    assert cli.error("plan", "--mode", "disaster", "--move", "app=recovery", "--unreachable", "edge-primry",
                     rc=64)["message"].endswith("did you mean 'edge-primary'?")


def test_named_although_it_answers(cli):
    done = cli.run("apply", "--mode", "disaster", "--move", "app=recovery", "--unreachable", "edge-primary", "--yes")
    assert "edge-primary answers" in done.stderr
    assert cli.sim("edge-primary") and cli.app()["attached"] == ["edge-primary", "edge-recovery"]
    cli.run("reconcile", "--yes")
    assert cli.app()["attached"] == ["edge-recovery"]
    assert cli.error("apply", "--mode", "disaster", "--move", "app=primary", "--unreachable", "edge-recovery", "--attest",
                     "it is gone", "--yes", rc=4)["rule"] == "lost-site"  # it answers, and is attached


def test_neighbour_that_nobody_controls(cli):
    """edge-third is lost too: it may lead to primary, whatever it holds."""
    cli.lose("edge-primary")
    cli.lose("edge-third")
    lost = ("--mode", "disaster", "--move", "app=recovery")
    assert cli.error("plan", *lost, rc=4)["rule"] == "unreachable"  # nobody said that third is lost
    error = cli.error("plan", *lost, "--unreachable", "edge-third", rc=4)
    assert error["rule"] == "lost-site" and "--attest TEXT" in error["message"]  # by the planner, not only by its proof
    done = cli.disaster("--unreachable", "edge-third", "--attest", "the building is gone")
    assert done["state"] == "committed" and done["attest"] == "the building is gone"
    assert cli.debts() == [("edge-primary", "app"), ("edge-third", "app")]
    shown = cli.json("show", done["id"])
    assert shown["attest"] == "the building is gone" and shown["user"]
    cli.back("edge-third")
    assert cli.json("reconcile", "--yes")["debts"][0]["router"] == "edge-primary"
    assert cli.debts() == [("edge-primary", "app")]
    assert cli.best("edge-third")["result"] == "delivered"
    cli.back("edge-primary")
    cli.run("reconcile", "--yes")
    assert cli.json("status", "--detailed-exitcode")["differences"] is False


def test_attested_but_alive_when_it_is_applied(cli):
    cli.lose("edge-primary")
    plan = cli.path("move.plan")
    cli.run("plan", "--mode", "disaster", "--move", "app=recovery", "--attest", "dead", "--out", plan)
    cli.back("edge-primary")
    assert cli.error("apply", plan, "--yes", rc=4)["rule"] == "lost-site"
    assert cli.app()["attached"] == ["edge-primary"]


def test_rollback_where_a_person_vouches(cli):
    before = {r: cli.sim(r) for r in ("edge-recovery", "edge-third")}
    cli.lose("edge-primary")
    done = cli.disaster()
    back = cli.json("rollback", "--attest", "primary has served all the time", "--yes")
    assert back["state"] == "committed" and back["undoes"] == done["id"]
    assert {r: cli.sim(r) for r in before} == before
    assert cli.debts() == []  # what was undone is not owed
    cli.back("edge-primary")
    assert cli.json("status", "--detailed-exitcode")["differences"] is False


def test_undone_when_it_fails(cli):
    """Nothing can be written on edge-third: the move ends as it began, with no debt."""
    cli.lose("edge-primary")
    before = {r: cli.sim(r) for r in ("edge-recovery", "edge-third")}
    plan = cli.path("move.plan")
    cli.run("plan", "--mode", "disaster", "--move", "app=recovery", "--out", plan)
    drill = cli.json("drill", plan, "--yes")
    assert drill["state"] == "undone" and drill["rolled_back_verified"]
    assert {r: cli.sim(r) for r in before} == before and cli.debts() == []


def test_spoilt_plan_is_not_applied(cli):
    cli.lose("edge-primary")
    plan = cli.json("plan", "--mode", "disaster", "--move", "app=recovery")
    del plan["id"], plan["proof"]
    path = cli.path("spoilt.plan")

    def refused(change):
        spoilt = json.loads(json.dumps(plan))
        change(spoilt)
        with open(path, "w", encoding="utf-8") as f:
            json.dump(spoilt, f)
        return cli.error("apply", path, "--yes", rc=4)["rule"]

    def no_fence(p):  # edge-third goes on to primary while recovery attaches
        for stage in p["stages"]:
            stage["changes"] = [c for c in stage["changes"] if c["router"] != "edge-third"]

    assert refused(no_fence) == "lost-site"
    assert refused(lambda p: p["lost"][0].update(neighbours=["edge-recovery"])) == "topology"
    assert refused(lambda p: p["stages"][1]["changes"].append(
        {"router": "edge-primary", "group": "g1", "kind": "gateway", "before": None, "after": {"type": "gateway"}})) \
        == "foreign"


def test_plan_that_nobody_attests_any_more(cli):
    """The planner asked for a person's word; the prover looks whether it is still in the document."""
    cli.lose("edge-primary")
    cli.lose("edge-third")
    plan = cli.json("plan", "--mode", "disaster", "--move", "app=recovery", "--unreachable", "edge-third", "--attest", "it burnt")
    del plan["id"], plan["proof"], plan["attest"]
    path = cli.path("unattested.plan")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(plan, f)
    error = cli.error("apply", path, "--yes", rc=4)
    assert error["rule"] == "lost-site" and "nobody vouches" in error["message"]
    assert cli.debts() == []


@pytest.mark.parametrize("value,lost", [("best-effort", True), ("deferred", True), ("deferred", False)])
def test_policies(tmp_path, value, lost):
    cli = World(tmp_path)
    with open(cli.topology, encoding="utf-8") as f:
        document = json.load(f)
    policy("edge-third", value)(document)
    with open(cli.topology, "w", encoding="utf-8") as f:
        json.dump(document, f)
    third = cli.sim("edge-third")
    if lost:
        cli.lose("edge-third")
    done = cli.json("apply", "--move", "app=recovery", "--yes")
    assert done["state"] == "committed" and done["mode"] == "planned"
    assert cli.debts() == [("edge-third", "app")]
    if lost:
        cli.back("edge-third")
    assert cli.sim("edge-third") == third  # not touched
    cli.run("reconcile", "--yes")
    assert cli.debts() == [] and cli.best("edge-third")["result"] == "delivered"
    assert cli.json("status", "--detailed-exitcode")["differences"] is False


def test_best_effort_that_answers_is_like_any_other(tmp_path):
    cli = World(tmp_path, policy("edge-third", "best-effort"))
    cli.move("recovery")
    assert cli.debts() == [] and cli.json("status")["differences"] is False


def test_old_gateway_cannot_be_left_out(tmp_path):
    cli = World(tmp_path, policy("edge-primary", "best-effort"))
    cli.lose("edge-primary")
    assert cli.error("apply", "--move", "app=recovery", "--yes", rc=4)["rule"] == "lost-site"


# ---- What reconciling leaves alone ----


def test_a_reconciliation_runs_no_hooks(cli):
    """They stop and start machines, and those serve at the new site all the while."""
    log = cli.path("log")
    cli.edit(lambda d: d.update(hooks={"before-detach": [{"run": ["/bin/sh", "-c", f"echo $FERRY_KIND >> {log}"]}],
                                          "after-settle": [{"pause": "Tell them"}]}))
    cli.lose("edge-primary")
    cli.run("apply", "--mode", "disaster", "--move", "app=recovery", "--yes", rc=7)
    cli.run("resume", "--yes")
    cli.back("edge-primary")
    report = cli.json("reconcile", "--yes")
    assert [t["state"] for t in report["transactions"]] == ["committed", "committed"]
    assert all(t["hooks"] == [] for t in report["transactions"])
    with open(log, encoding="utf-8") as f:
        assert f.read() == "apply\n"


def test_a_reconciliation_is_no_move(cli):
    """Nothing rests after it: the hold-down counts from the move."""
    cli.lose("edge-primary")
    moved = cli.disaster()["id"]
    cli.back("edge-primary")
    cli.run("reconcile", "--yes")
    cli.edit(lambda d: d.update({"hold-down": "10m"}))
    assert moved in cli.error("apply", "--failback", "--yes", rc=4)["message"]


def test_no_rollback_once_it_was_reconciled(cli):
    """The old site has let go: its neighbours would be led back to where nothing is."""
    cli.lose("edge-primary")
    done = cli.disaster()
    cli.back("edge-primary")
    cli.run("reconcile", "--yes")
    before = {r: cli.sim(r) for r in ("edge-primary", "edge-recovery", "edge-third")}
    for verb in (["rollback", "--attest", "it serves", "--yes"], ["rollback", "--attest", "it serves", "--dry-run"]):
        error = cli.error(*verb, rc=4)
        assert error["rule"] == "debt" and "edge-primary" in error["message"] and done["id"] in error["message"]
    assert {r: cli.sim(r) for r in before} == before
    cli.run("apply", "--failback", "--yes")
    assert cli.json("status", "--detailed-exitcode")["differences"] is False


def test_no_rollback_once_half_of_it_was_reconciled(cli):
    cli.lose("edge-primary")
    cli.disaster()
    cli.back("edge-primary")
    status, _ = cli.terminal("reconcile", answer=["yes", "no"])
    assert status == 6 and cli.debts() == [("edge-primary", "app")]
    assert cli.error("rollback", "--attest", "it serves", "--yes", rc=4)["rule"] == "debt"
    assert cli.app()["attached"] == ["edge-recovery"]


def test_no_rollback_past_a_router_that_was_brought_in_line(tmp_path):
    cli = World(tmp_path, policy("edge-third", "deferred"))
    cli.move("recovery")
    cli.run("reconcile", "--yes")
    assert cli.error("rollback", "--yes", rc=4)["rule"] == "debt"
    cli.move("primary")
    assert cli.json("rollback", "--yes")["state"] == "committed"  # that one was not
    assert cli.app()["active"] == "recovery"


def test_the_new_site_is_lost_before_the_old_one_was_reconciled(cli):
    """The old site alone answers, and owes to let go: reconcile refuses, and says the way out, which its debt
    does not close.
    """
    cli.lose("edge-primary")
    cli.disaster()
    cli.back("edge-primary")
    cli.lose("edge-recovery")
    assert cli.app()["attached"] == ["edge-primary"] and cli.debts() == [("edge-primary", "app")]
    error = cli.error("reconcile", "--yes", rc=4)
    assert error["rule"] == "no-gateway" and "belongs at recovery, where no router that could have it answers" in error["message"]
    way_out = re.search(r"`ferry ([^`]*)`", error["message"])[1].split()
    assert way_out == ["apply", "--mode", "disaster", "--move", "app=primary"]
    # What is owed for another subnet than the moved one is no way around.
    assert cli.error("apply", "--mode", "disaster", "--move", "db=recovery", "--unreachable", "edge-recovery", "--yes", rc=4)["rule"] in (
        "debt", "no-gateway")
    assert cli.json("trace", "192.168.1.10", "--from", "edge-third", rc=1)["delivered"] is False  # to the site that is lost now
    assert cli.json(*way_out, "--yes")["state"] == "committed"
    assert cli.app()["attached"] == ["edge-primary"] and "edge-primary" in cli.best("edge-third")["end"]
    assert cli.debts() == [("edge-primary", "app"), ("edge-recovery", "app")]
    assert cli.json(*way_out, "--yes")["nothing_to_do"] is True
    cli.run("reconcile", "--yes")
    assert cli.debts() == [("edge-recovery", "app")], "what was decided anew is not owed any more"
    # And the other one comes back in its turn.
    cli.back("edge-recovery")
    cli.run("reconcile", "--yes")
    assert cli.json("status", "--detailed-exitcode")["differences"] is False and cli.app()["active"] == "primary"
    assert cli.json("audit", "verify")["ok"]


def test_dry_run_writes_nothing(tmp_path):
    cli = clitool.Cli(tmp_path)
    cli.run("reconcile", "--dry-run")
    assert not os.path.exists(os.path.join(cli.state_dir, "journal.db"))
    cli = World(tmp_path)
    cli.edit(policy("edge-third", "deferred"))
    cli.move("recovery")

    def by_hand(document):
        route = next(r for r in document["routes"] if r["prefix"] == "192.168.1.0/24")
        route["nexthops"] = [{"dev": "to-recovery", "via": "10.255.23.1"}]
    cli.sim_edit("edge-third", by_hand)
    assert len(cli.json("reconcile", "--dry-run")["debts"]) == 1 and cli.debts() == [("edge-third", "app")]
    assert cli.json("reconcile", "--yes")["debts"] == []


def foreign(cli, router):
    """Its route to app is somebody else's, and the topology wants such to be left alone."""
    def edit(document):
        next(r for r in document["routes"] if r["prefix"] == "192.168.1.0/24")["protocol"] = "static"
    cli.sim_edit(router, edit)
    cli.edit(lambda d: d.update(rules={"no-foreign": True}))


def test_rules_that_refuse_a_reconciliation_can_be_overridden(cli):
    cli.edit(policy("edge-third", "deferred"))
    cli.move("recovery")
    foreign(cli, "edge-third")
    assert cli.error("reconcile", "--yes", rc=4)["rule"] == "no-foreign"
    cli.run("reconcile", "--yes", "--override-rule", "proof", rc=64)
    report = cli.json("reconcile", "--yes", "--override-rule", "no-foreign")
    assert report["debts"] == [] and report["transactions"][0]["overrides"][0]["rule"] == "no-foreign"


def test_a_step_that_cannot_be_done_after_another(cli):
    """It has written: no exit status that says otherwise, and all of it is told."""
    cli.edit(policy("edge-third", "deferred"))
    cli.lose("edge-primary")
    cli.disaster("--attest", "primary is gone")
    cli.back("edge-primary")
    foreign(cli, "edge-third")
    report = cli.json("reconcile", "--yes", rc=6)
    assert report["error"]["code"] == 6 and "no-foreign" in report["error"]["message"]
    assert [t["state"] for t in report["transactions"]] == ["committed"] and len(report["debts"]) == 2
    assert cli.app()["attached"] == ["edge-recovery"]
    assert cli.error("reconcile", "--yes", rc=4)["rule"] == "no-foreign"  # this time nothing was written


def test_two_topologies_in_one_state_directory(cli):
    """Neither delivers what the other's routers owe, nor takes the other's moves for its own."""
    cli.lose("edge-primary")
    cli.disaster()
    other = cli.path("other.json")
    with open(cli.topology, encoding="utf-8") as f, open(other, "w", encoding="utf-8") as g:
        g.write(f.read().replace('"three-site"', '"another"').replace('"edge-', '"b-').replace("192.168.", "172.16."))
    assert cli.json("-t", other, "reconcile", "--yes")["nothing_to_do"] is True
    assert cli.debts() == [("edge-primary", "app")]
    cli.back("edge-primary")
    cli.run("reconcile", "--yes")
    assert cli.json("status", "--detailed-exitcode")["differences"] is False


def test_a_router_that_owes_is_no_more(cli):
    cli.lose("edge-primary")
    cli.disaster()

    def without(document):
        document["routers"] = [r for r in document["routers"] if r["name"] != "edge-primary"]
        document["links"] = [l for l in document["links"] if not any("edge-primary" in e for e in l["endpoints"])]
        document["sites"] = [s for s in document["sites"] if s["name"] != "primary"]
        for subnet in document["subnets"]:
            subnet["gateways"] = [g for g in subnet["gateways"] if g["router"] != "edge-primary"]
            subnet["home"] = "recovery"
    cli.edit(without)
    assert cli.debts() == [("edge-primary", "app")]
    assert cli.json("reconcile", "--yes")["debts"] == []
