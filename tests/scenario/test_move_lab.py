"""Whole moves on real kernels, from outside: every example topology built as a lab, moved under traffic, looked at with
`ip` and `ping`, brought back, and compared byte for byte.  Then what can go wrong on the way."""
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "netns"))
import labtool  # noqa: E402
from labtool import FERRY, Lab, differences, ip, namespaces, until  # noqa: E402
from outages import OUTAGE_MS, moved  # noqa: E402

pytestmark = pytest.mark.skipif(labtool.WHY_NOT is not None, reason=str(labtool.WHY_NOT))

# Moments of a move at which it is killed; tests/crash has each of its calls.
KILLS = 24 if os.environ.get("FERRY_TEST_FULL") else 10

# Topology, what moves, addresses to probe, [(host, router it answers at before, after)].
MOVES = {
    "three-site": (["--move", "app=recovery"], ["192.168.1.10"], "client.edge-third",
                   [("192.168.1.10", "app-1", "edge-primary", "edge-recovery")]),
    "dual-stack": (["--move", "app4=recovery", "--move", "app6=recovery"], ["192.168.1.10", "2001:db8:1::10"],
                   "client.dual-third", [("192.168.1.10", "app-1", "dual-primary", "dual-recovery"),
                                         ("2001:db8:1::10", "app-1", "dual-primary", "dual-recovery")]),
    "ring-six": (["--move", "app=east", "--move", "db=west"], ["192.168.1.10", "192.168.2.10"], "client.ring-6",
                 [("192.168.1.10", "app-1", "ring-1", "ring-4"), ("192.168.2.10", "db-1", "ring-3", "ring-5")]),
    "two-gateways": (["--move", "app=recovery"], ["192.168.1.10"], "client.pair-third",
                     [("192.168.1.10", "app-1", "pair-primary-1", "pair-recovery-1")]),
    "chain": (["--move", "app=recovery"], ["192.168.1.10"], "client.chain-2",
              [("192.168.1.10", "app-1", "chain-1", "chain-6")]),
    "routed": (["--move", "app=recovery", "--move", "web=recovery"], ["192.168.1.10", "192.168.2.10"],
               "client.routed-third", [("192.168.1.10", "app-1", "routed-primary", "routed-recovery"),
                                       ("192.168.2.10", "web-1", "routed-primary", "routed-recovery")]),
    "subnets-200": (["--evacuate", "primary", "--to", "recovery"], ["10.100.0.10", "10.100.148.10"],
                    "client.many-third", [("10.100.0.10", "app-000", "many-primary", "many-recovery"),
                                          ("10.100.148.10", "app-148", "many-primary", "many-recovery")]),
    "public-network": (["--move", "app=gr", "--move", "db=pl"], ["192.168.1.10", "192.168.2.10"], "client.geant-pt",
                       [("192.168.1.10", "app-1", "geant-de", "geant-gr"), ("192.168.2.10", "db-1", "geant-fr", "geant-pl")]),
}


@pytest.fixture
def clean():
    before = namespaces()
    yield before
    assert namespaces() == before, "namespaces were left behind"


def private(lab, host_at_router):
    host, router = host_at_router.split(".", 1)
    return lab.host(host, router)


def echoes(lab, netns):
    """Echo requests that a host has received, both families."""
    v4 = lab.inside(netns, "grep", "^Icmp:", "/proc/net/snmp").stdout.splitlines()
    v6 = lab.inside(netns, "grep", "Icmp6InEchos", "/proc/net/snmp6").stdout.split()
    return int(dict(zip(v4[0].split(), v4[1].split()))["InEchos"]) + int(v6[1])


def assert_answers_at(lab, client, address, host, router, elsewhere):
    here, there = lab.host(host, router), lab.host(host, elsewhere)
    before = echoes(lab, here), echoes(lab, there)
    assert lab.answers(private(lab, client), address), f"{address} does not answer"
    assert echoes(lab, here) > before[0], f"{address} answered, but not from behind {router}"
    assert echoes(lab, there) == before[1], f"{address} is heard behind {elsewhere} too"


def assert_clean_outages(document, barrier, addresses):
    outages = document["outage"]
    assert len(outages) >= len(addresses), outages
    for outage in outages:
        assert outage["sent"] >= 50 and outage["sent"] > outage["lost"]
        assert (outage["ttl_exceeded"], outage["duplicates"]) == (0, 0), outage
        assert outage["ms"] < OUTAGE_MS + sum(barrier), (outage, barrier)


def probes(addresses):
    return [word for address in addresses for word in ("--probe", address)]


@pytest.mark.parametrize("name", MOVES)
def test_there_and_back(name, tmp_path, clean):
    move, addresses, client, answers = MOVES[name]
    with Lab(name, tmp_path, tag="m") as lab:
        before, loops = lab.states(), lab.loops()
        for address, host, old, new in answers:
            assert_answers_at(lab, client, address, host, old, new)

        plan = str(tmp_path / "move.plan")
        lab.ferry("plan", *move, "--out", plan)
        lab.ferry("prove", plan)
        assert not differences(before, lab.states()), "planning or proving wrote to a router"
        done, barrier = moved(lab, "apply", plan, "--yes", *probes(addresses))
        assert done["state"] == "committed"
        assert_clean_outages(done, barrier, addresses)
        assert lab.loops() == loops, "a router counted packets that ran out of hops"
        for address, host, old, new in answers:
            assert_answers_at(lab, client, address, host, new, old)
        assert lab.json("status")["differences"] is False

        back = lab.json("rollback", "--yes")
        assert back["state"] == "committed" and back["undoes"] == done["id"]
        assert not differences(before, lab.states()), "the rollback is not exact"
        assert lab.json("lab", "status", lab.file)["baseline"]

        drill, barrier = moved(lab, "drill", *move, "--hold", "500ms", "--yes", *probes(addresses))
        assert drill["state"] == "undone"
        assert_clean_outages(drill, barrier, addresses)
        assert not differences(before, lab.states()), "the drill is not exact"
        assert lab.loops() == loops
        for address, host, old, new in answers:
            assert_answers_at(lab, client, address, host, old, new)
        assert len(lab.json("history")["transactions"]) == 3
        lab.down()
        assert namespaces() == clean


def test_home_again_by_failback(tmp_path, clean):
    with Lab("three-site", tmp_path, tag="m") as lab:
        lab.ferry("apply", "--move", "app=recovery", "--yes")
        assert [s["active"] for s in lab.json("status")["subnets"]] == ["recovery"]
        lab.ferry("apply", "--failback", "--yes")
        assert [s["active"] for s in lab.json("status")["subnets"]] == ["primary"]
        assert_answers_at(lab, "client.edge-third", "192.168.1.10", "app-1", "edge-primary", "edge-recovery")


# ---- What an administrator has put there comes back with every attribute ----

FOREIGN = {
    "route-attributes": ("edge-third", ["route replace 192.168.1.0/24 via 10.255.13.1 dev to-primary proto static metric 20 "
                                        "src 192.168.3.1 mtu lock 1400 advmss 1300 initcwnd 20 quickack 1"]),
    "route-protocol-and-metric": ("edge-third", ["route del 192.168.1.0/24",
                                                 "route add 192.168.1.0/24 via 10.255.13.1 proto 77 metric 333"]),
    "route-weights": ("edge-third", ["route replace 192.168.1.0/24 proto static metric 20 nexthop via 10.255.13.1 weight 3 "
                                     "nexthop via 10.255.23.1 weight 1"]),
    "route-realm": ("edge-third", ["route replace 192.168.1.0/24 via 10.255.13.1 proto static metric 20 realm 5"]),
    "nexthop-object": ("edge-third", ["nexthop add id 10 via 10.255.13.1 dev to-primary",
                                      "route replace 192.168.1.0/24 nhid 10 proto static metric 20"]),
    "backup-route": ("edge-third", ["route add 192.168.1.0/24 via 10.255.23.1 proto static metric 500"]),
    "address-label": ("edge-primary", ["addr del 192.168.1.1/24 dev lan0",
                                       "addr add 192.168.1.1/24 brd 192.168.1.255 dev lan0 label lan0:app"]),
    "address-secondary": ("edge-primary", ["addr add 192.168.1.2/24 dev lan0", "addr add 192.168.1.3/24 dev lan0"]),
    "dependent-route": ("edge-primary", ["route add 10.77.0.0/16 via 192.168.1.20 dev lan0 proto static metric 7",
                                         "route add 10.78.0.0/16 via 10.255.12.2 src 192.168.1.1"]),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_attributes_come_back(name, tmp_path, clean):
    router, commands = FOREIGN[name]
    with Lab("three-site", tmp_path, tag="m") as lab:
        for command in commands:
            ip("-n", lab.router(router), *command.split())
        before = lab.states()
        done = lab.ferry("apply", "--move", "app=recovery", "--yes", rc=(0, 4))
        if done.returncode == 4:  # Ferry may say no; it may not write then
            assert not differences(before, lab.states())
            pytest.fail(f"refused: {done.stderr}")
        assert_answers_at(lab, "client.edge-third", "192.168.1.10", "app-1", "edge-recovery", "edge-primary")
        lab.ferry("rollback", "--yes")
        assert not differences(before, lab.states())


def test_order_among_foreign_addresses_is_the_kernels(tmp_path, clean):
    """The one thing that does not come back: Ferry takes no foreign address away to put its own before it again."""
    with Lab("three-site", tmp_path, tag="m") as lab:
        primary = lab.router("edge-primary")
        ip("-n", primary, "addr", "add", "172.16.9.1/24", "dev", "lan0")
        before = lab.states()
        lab.ferry("apply", "--move", "app=recovery", "--yes")
        lab.ferry("rollback", "--yes")
        after = lab.states()
        addresses = []
        for states in (before, after):
            links = json.loads(states[primary].pop(2))
            addresses.append([sorted(link.pop("addr_info"), key=json.dumps) for link in links] + [links])
        assert addresses[0] == addresses[1]
        assert not differences(before, after)


# ---- Between plan and apply somebody else has written ----

STALE = {
    "route-changed": ("edge-third", "route replace 192.168.1.0/24 via 10.255.23.1 dev to-recovery metric 20 proto static"),
    "route-attribute": ("edge-third",
                        "route replace 192.168.1.0/24 via 10.255.13.1 dev to-primary metric 20 proto static mtu 1400"),
    "route-gone": ("edge-recovery", "route del 192.168.1.0/24"),
    "route-added": ("edge-recovery", "route add 192.168.1.0/24 via 10.255.23.2 metric 5"),
    "address-gone": ("edge-primary", "addr del 192.168.1.1/24 dev lan0"),
    "attached-elsewhere": ("edge-recovery", "addr add 192.168.1.1/24 dev lan0"),
}


@pytest.mark.parametrize("name", STALE)
def test_stale_plan_writes_nothing(name, tmp_path, clean):
    router, command = STALE[name]
    with Lab("three-site", tmp_path, tag="m") as lab:
        plan = str(tmp_path / "move.plan")
        lab.ferry("plan", "--move", "app=recovery", "--out", plan)
        ip("-n", lab.router(router), *command.split())
        tampered = lab.states()
        done = lab.ferry("apply", plan, "--yes", rc=3)
        assert lab.router(router) in done.stdout + done.stderr, "what drifted is not shown"
        assert not differences(tampered, lab.states())


def test_changed_topology_is_stale(tmp_path, clean):
    with Lab("three-site", tmp_path, tag="m") as lab:
        plan, before = str(tmp_path / "move.plan"), lab.states()
        lab.ferry("plan", "--move", "app=recovery", "--out", plan)
        lab.document["links"][0]["cost"] = 11
        lab.save()
        lab.ferry("apply", plan, "--yes", rc=3)
        assert not differences(before, lab.states())


def test_more_specific_route_is_named_and_refused(tmp_path, clean):
    with Lab("three-site", tmp_path, tag="m") as lab:
        ip("-n", lab.router("edge-third"), "route", "add", "192.168.1.0/25", "via", "10.255.13.1")
        before = lab.states()
        done = lab.ferry("apply", "--move", "app=recovery", "--yes", rc=4)
        assert "192.168.1.0/25" in done.stderr + done.stdout
        assert not differences(before, lab.states())


def test_interface_that_is_down_is_refused(tmp_path, clean):
    with Lab("three-site", tmp_path, tag="m") as lab:
        ip("-n", lab.router("edge-recovery"), "link", "set", "lan0", "down")
        before = lab.states()
        lab.ferry("apply", "--move", "app=recovery", "--yes", rc=4)
        assert not differences(before, lab.states())


def test_router_that_vanished_is_no_success(tmp_path, clean):
    with Lab("three-site", tmp_path, tag="m") as lab:
        plan = str(tmp_path / "move.plan")
        lab.ferry("plan", "--move", "app=recovery", "--out", plan)
        ip("netns", "del", lab.router("edge-third"))
        rest = [r for r in lab.routers if r != lab.router("edge-third")]
        until("its cables to go too", lambda: "to-third" not in "".join(ip("-n", r, "link") for r in rest))
        before = {r: lab.state(r) for r in rest}
        lab.ferry("apply", plan, "--yes", rc=(1, 3, 4))
        assert not differences(before, {r: lab.state(r) for r in rest})


# ---- The controller dies ----

@pytest.mark.parametrize("name", ["three-site", "dual-stack"])
def test_killed_at_any_moment_recovers(name, tmp_path, clean):
    """kill -9 at moments spread over a whole apply: `recover` leads to the state before or after, and twice is once."""
    move, _, _, answers = MOVES[name]
    with Lab(name, tmp_path, tag="m") as lab:
        before = lab.states()
        started = time.monotonic()
        lab.ferry("apply", *move, "--yes")
        whole = time.monotonic() - started
        after = lab.states()
        lab.ferry("rollback", "--yes")
        assert not differences(before, lab.states())
        seen = {"before": 0, "after": 0, "in the middle": 0}
        moments = random.Random(1)
        for i in range(KILLS):
            with subprocess.Popen([FERRY, "apply", *move, "--yes"], env=lab.env, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL) as process:
                time.sleep(whole * (i + moments.random()) / KILLS)
                process.send_signal(signal.SIGKILL)
            halted = lab.states()
            seen["before" if halted == before else "after" if halted == after else "in the middle"] += 1
            lab.ferry("recover")
            recovered = lab.states()
            assert recovered in (before, after), f"killed in run {i}: neither the state before nor after"
            lab.ferry("recover")
            assert not differences(recovered, lab.states()), "a second recover changed something"
            if recovered == after:
                lab.ferry("rollback", "--yes")
            assert not differences(before, lab.states())
        print(f"killed {KILLS} times in {whole * 1000:.0f} ms: {seen}")
        address, host, old, new = answers[0]
        assert_answers_at(lab, MOVES[name][2], address, host, old, new)


def test_interrupted_rolls_back(tmp_path, clean):
    """Ctrl-C during a drill's hold ends with everything as before, and says so."""
    with Lab("three-site", tmp_path, tag="m") as lab:
        before = lab.states()
        with subprocess.Popen([FERRY, "drill", "--move", "app=recovery", "--hold", "10m", "--yes", "--json"], env=lab.env,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            gateway = lab.router("edge-recovery")
            until("the move", lambda: "192.168.1.1/24" in ip("-n", gateway, "-4", "addr", "show", "lan0"), 60)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        assert process.returncode in (0, 5), err
        assert json.loads(out)["state"] == "undone"
        assert not differences(before, lab.states())


def test_one_transaction_at_a_time(tmp_path, clean):
    with Lab("three-site", tmp_path, tag="m") as lab:
        with subprocess.Popen([FERRY, "drill", "--move", "app=recovery", "--hold", "10m", "--yes"], env=lab.env,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            until("the hold", lambda: "verifying" in lab.ferry("history").stdout, 60)
            there = lab.states()
            lab.ferry("apply", "--move", "app=primary", "--yes", rc=8)
            assert not differences(there, lab.states())
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)
