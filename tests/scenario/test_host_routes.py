"""Host routes: the machines of a stretched subnet are at either site, each by itself, and a route of their own
follows them (docs/site-recovery.md); on topologies/host-routes.json with simulated routers."""
import json
import os

import pytest
from clitool import FERRY, ROOT, Cli

pytestmark = pytest.mark.skipif(not FERRY, reason="FERRY names no program")

EXAMPLE = os.path.join(ROOT, "topologies", "host-routes.json")
ROUTERS = PRIMARY, RECOVERY, THIRD = "hosts-primary", "hosts-recovery", "hosts-third"
STRETCHED = ["--network", "Stretched-Primary"]


def simulated(document):
    for router in document["routers"]:
        router["driver"] = {"type": "sim"}


def web(document):
    return next(s for s in document["subnets"] if s["name"] == "web")


def machine(document, name):
    return next(w for w in document["workloads"] if w["name"] == name)


@pytest.fixture(name="cli")
def make_cli(tmp_path):
    cli = Cli(tmp_path, EXAMPLE)
    cli.edit(simulated)
    return cli


def states(cli):
    return {r: json.dumps(cli.sim(r), sort_keys=True) for r in ROUTERS}


def settled(cli):
    """Every router has a file, and all routes of the machines are Ferry's own."""
    for site in ("recovery", "primary"):
        cli.run("apply", *(w for name in ("app", "web-1", "web-2") for w in ("--move", f"{name}={site}")), "--yes")
    return states(cli)


HOME = {n: "primary" for n in ("app", "web", "web6", "web-1", "web-1.2", "web-2")}


def places(cli):
    return {s["name"]: s["active"] for s in cli.json("status")["subnets"]}


def changes(plan):
    return [(stage["phase"], c["router"], ("+" if not c["before"] else "-" if not c["after"] else "~") + c["kind"])
            for stage in plan["stages"] for c in stage["changes"]]


def moved(plan):
    return {(s["name"], s["prefix"]) for g in plan["groups"] for s in g["subnets"]}


def test_each_machine_is_a_subnet_of_one_address(cli):
    subnets = {s["name"]: s for s in cli.json("status")["subnets"]}
    assert subnets["web-2"]["prefix"] == "192.168.2.11/32" and subnets["web-2"]["home"] == "primary"
    assert subnets["web-1"]["prefix"] == "192.168.2.10/32"
    assert "app-1" not in subnets  # its subnet has none
    assert sorted(subnets["web"]["attached"]) == [PRIMARY, RECOVERY]  # it stays at both
    assert cli.json("status")["differences"] is False


def test_the_new_route_is_there_before_the_old_is_left(cli):
    plan = cli.json("plan", "--move", "web-2=recovery", "--out", cli.path("plan"))
    assert "safe" in cli.run("prove", cli.path("plan")).stdout.lower()
    flat = changes(plan)
    assert moved(plan) == {("web-2", "192.168.2.11/32")}  # neither web nor web-1
    new, third, old = (flat.index(row) for row in (("prepare", RECOVERY, "+gateway"), ("prepare", THIRD, "~route"),
                                                   ("detach", PRIMARY, "-gateway")))
    assert new < third < old
    assert not any(c["after"] and c["after"]["type"] == "blackhole" for s in plan["stages"] for c in s["changes"])
    assert "attach" not in [s["phase"] for s in plan["stages"]]


def test_one_machine_follows_and_the_others_stay(cli):
    before = settled(cli)
    assert cli.json("apply", "--move", "web-2=recovery", "--yes")["state"] == "committed"
    assert places(cli) == {**HOME, "web-2": "recovery"}
    assert cli.json("status")["differences"] is False
    ways = {a: cli.json("trace", a, "--from", THIRD) for a in ("192.168.2.11", "192.168.2.10")}
    assert RECOVERY in json.dumps(ways["192.168.2.11"]) and PRIMARY not in json.dumps(ways["192.168.2.11"])
    assert PRIMARY in json.dumps(ways["192.168.2.10"]) and RECOVERY not in json.dumps(ways["192.168.2.10"])
    cli.run("rollback", "--yes")
    assert states(cli) == before
    assert cli.json("drill", "--move", "web-2=recovery", "--yes")["rolled_back_verified"]
    assert states(cli) == before


def test_a_network_takes_its_machines_along_and_brings_them_back(cli):
    before = settled(cli)
    cli.run("apply", *STRETCHED, "--yes")
    assert places(cli) == {**HOME, **{n: "recovery" for n in ("web-1", "web-1.2", "web-2")}}
    cli.run("apply", "--failback", *STRETCHED, "--yes")
    assert states(cli) == before
    cli.run("apply", "--evacuate", "primary", "--to", "recovery", "--yes")
    assert places(cli) == {**{n: "recovery" for n in HOME}, "web": "primary", "web6": "primary"}
    cli.run("apply", "--failback", "--yes")  # whatever is away from home
    assert states(cli) == before


def test_a_machine_that_is_not_ready_stays_and_is_said(cli):
    cli.edit(lambda d: machine(d, "web-1").update(ready=False))
    done = cli.run("plan", *STRETCHED)
    assert "web-1 is not ready to move: its host route stays" in done.stdout + done.stderr
    assert moved(cli.json("plan", *STRETCHED)) == {("web-2", "192.168.2.11/32")}


def test_the_subnet_itself_does_not_move(cli):
    error = cli.error("plan", "--move", "web=recovery", rc=4)
    assert error["rule"] == "host-routes" and "move those" in error["message"]


@pytest.mark.parametrize("routed_elsewhere", [True, False])
def test_a_site_without_the_subnet_can_have_none_of_its_machines(cli, routed_elsewhere):
    """Its gateway was taken away by hand: the route would lead nowhere there."""
    settled(cli)
    way = next(r for r in cli.sim(RECOVERY)["routes"] if r["prefix"] == "192.168.2.11/32")
    cli.sim_edit(RECOVERY, lambda d: d.update(gateways=[g for g in d["gateways"] if g["prefix"] != "192.168.2.0/24"],
                                              routes=d["routes"] + [dict(way, prefix="192.168.2.0/24")] * routed_elsewhere))
    error = cli.error("plan", "--move", "web-2=recovery", rc=4)
    drift = [d for s in cli.json("status")["subnets"] if s["name"] == "web" for d in s["drift"]]
    assert ("part", RECOVERY) in [(d["what"], d["router"]) for d in drift]
    assert error["rule"] == "host-routes" and f"{RECOVERY} has not attached web" in error["message"]


def test_the_subnet_around_is_no_route_that_a_machine_might_fall_to(cli):
    """It is what the machine's route is there to beat: neither warned of nor, where that is asked for, refused."""
    cli.edit(lambda d: d.update(rules={"covering-route": True}))
    plan = cli.json("plan", "--move", "web-2=recovery")
    assert moved(plan) and not [w for w in plan["warnings"] if "would fall to" in w]


def test_readiness_is_of_the_machines_not_of_the_subnet(cli):
    ready = cli.json("status", "--readiness")["readiness"]
    assert ready["ready"] is True
    assert {s["name"]: [(m["to"], m["ready"]) for m in s["moves"]] for s in ready["subnets"]} == {
        name: [("recovery", True)] for name in HOME if name not in ("web", "web6")}


@pytest.mark.parametrize("site, router", [("recovery", RECOVERY), ("primary", PRIMARY)])
def test_a_first_host_route_beats_the_subnet_and_goes_without_trace(cli, site, router):
    """Nobody has one yet: all follow the subnet's own route until theirs is there, and again after the rollback."""
    settled(cli)
    for each in ROUTERS:
        cli.sim_edit(each, lambda d: [d.update({k: [x for x in d[k] if x["prefix"] != "192.168.2.11/32"]})
                                        for k in ("routes", "gateways") if k in d])
    before = states(cli)
    assert cli.json("apply", "--move", f"web-2={site}", "--yes")["state"] == "committed"
    assert places(cli)["web-2"] == site and cli.json("status")["differences"] is False
    assert router in json.dumps(cli.json("trace", "192.168.2.11", "--from", THIRD))
    cli.run("rollback", "--yes")
    assert states(cli) == before


def test_a_machine_with_several_addresses_moves_with_all_of_them(cli):
    subnets = {s["name"]: s["prefix"] for s in cli.json("status")["subnets"]}
    assert subnets["web-1"] == "192.168.2.10/32" and subnets["web-1.2"] == "2001:db8:2::10/128"
    assert {n for n, _ in moved(cli.json("plan", "--move", "web-1=recovery"))} == {"web-1", "web-1.2"}
    assert {n for n, _ in moved(cli.json("plan", "--move", "web-1.2=recovery"))} == {"web-1.2"}
    two = cli.json("plan", "--move", "web-1.2=recovery", "--move", "web-1=recovery")
    assert {n for n, _ in moved(two)} == {"web-1", "web-1.2"}


def test_what_a_topology_may_not_say(cli):
    def refused(change, words):
        cli.edit(change)
        assert words in cli.run("validate", rc=None).stderr
    refused(lambda d: d["subnets"].append({"name": "web-1", "prefix": "10.7.0.0/24", "home": "primary",
                                           "gateways": [{"router": PRIMARY, "interface": "lan0", "address": "10.7.0.1/24"}]}),
            "the host route 'web-1' has the name of a subnet")
    cli.edit(lambda d: d["subnets"].pop())
    refused(lambda d: d["routers"][1].update(driver={"type": "frr", "transport": "local"}), f"{RECOVERY} runs FRR, which takes no route to a machine")
    cli.edit(simulated)
    refused(lambda d: web(d).pop("stretched"), "only a stretched subnet has host routes")
