"""Host routes on real kernels (topologies/host-routes.json), under 1,000 echo requests a second: a machine of a
stretched subnet goes to the other site, its route follows without the loss of a packet, and what took the way round by
the old site goes straight."""
import json
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "netns"))
import labtool  # noqa: E402
from labtool import Lab, differences, ip, namespaces, unordered, until  # noqa: E402

pytestmark = pytest.mark.skipif(labtool.WHY_NOT is not None, reason=str(labtool.WHY_NOT))

PRIMARY, RECOVERY, THIRD = "hosts-primary", "hosts-recovery", "hosts-third"
WEB1 = {4: "192.168.2.10", 6: "2001:db8:2::10"}
WEB2 = "192.168.2.11"
PROBES = [word for address in (*WEB1.values(), WEB2) for word in ("--probe", address)]
PACKETS = 100  # of one look at the way; what else is on the wires in that time is a handful (ARP, neighbour discovery)
FEW = 20


@pytest.fixture(name="lab")
def make_lab(tmp_path):
    before = namespaces()
    with Lab("host-routes", tmp_path, tag="r") as lab:
        yield lab
    assert namespaces() == before, "namespaces were left behind"


def received(netns, device):
    return json.loads(ip("-n", netns, "-s", "-j", "link", "show", "dev", device))[0]["stats64"]["rx"]["packets"]


def stretch(lab):
    """Joins the two sites' LANs by a cable; returns its ends, at the primary and at the recovery site."""
    lans = lab.name + "-lan"
    ip("-n", lans, "link", "add", "cable-p", "type", "veth", "peer", "name", "cable-r")
    ports = {link.get("ifalias", ""): link["master"] for link in json.loads(ip("-n", lans, "-j", "-d", "link", "show"))
             if "master" in link}
    for end, router in (("cable-p", PRIMARY), ("cable-r", RECOVERY)):
        bridge = next(master for alias, master in ports.items() if alias == f"{lab.router(router)}:lan0")
        ip("-n", lans, "link", "set", end, "master", bridge, "up")
    return (lans, "cable-p"), (lans, "cable-r")


def run_at(lab, host, router):
    """The machine runs there, and nowhere else; the routers' LANs hear of it, as by gratuitous ARP."""
    for each in (PRIMARY, RECOVERY):
        ip("-n", lab.host(host, each), "link", "set", "eth0", "down")
    there = lab.host(host, router)
    ip("-n", there, "link", "set", "eth0", "up")
    for family, address in WEB1.items():  # IPv6 addresses go with the link, routes of both do
        if family == 6:
            ip("-n", there, "address", "replace", address + "/64", "dev", "eth0", "nodad")
        ip("-n", there, f"-{family}", "route", "replace", "default", "via", {4: "192.168.2.1", 6: "2001:db8:2::1"}[family])
    for each in (PRIMARY, RECOVERY):
        ip("-n", lab.router(each), "neighbour", "flush", "dev", "lan0")
    for address in WEB1.values():
        until(f"{address} to answer", lambda a=address: lab.answers(lab.host("client", THIRD), a))


def way(lab, cable, address):
    """How many of PACKETS echo requests from the third site come by which wire."""
    wires = {"to primary": (lab.router(PRIMARY), "to-third"), "to recovery": (lab.router(RECOVERY), "to-third"),
             "between the LANs": cable}
    before = {name: received(*wire) for name, wire in wires.items()}
    done = lab.inside(lab.host("client", THIRD), "ping", "-q", "-c", str(PACKETS), "-i", "0.005", "-W", "2", address)
    assert done.returncode == 0 and " 0% packet loss" in done.stdout, done.stdout
    counted = {name: received(*wire) - before[name] for name, wire in wires.items()}
    return {name for name, n in counted.items() if n >= PACKETS}, {name for name, n in counted.items() if n > FEW}


def assert_nothing_lost(document, n):
    assert len(document["outage"]) >= n, document["outage"]
    for o in document["outage"]:
        assert (o["lost"], o["ttl_exceeded"], o["duplicates"]) == (0, 0, 0) and o["sent"] >= 100, o


def test_what_went_round_goes_straight(lab):
    """web-1 was taken to the recovery site on the stretched LAN: the old one leads there until its route follows."""
    to_primary, to_recovery = stretch(lab)
    run_at(lab, "web-1", RECOVERY)
    for address in WEB1.values():
        assert way(lab, to_recovery, address) == ({"to primary", "between the LANs"},) * 2
    before, loops = unordered(lab.states()), lab.loops()

    done = lab.json("apply", "--move", "web-1=recovery", "--yes", *PROBES[:4])
    assert done["state"] == "committed"
    assert_nothing_lost(done, 2)
    for address in WEB1.values():
        assert way(lab, to_recovery, address) == ({"to recovery"},) * 2
    run_at(lab, "web-1", PRIMARY)  # as if its route had gone ahead of it
    for address in WEB1.values():
        assert way(lab, to_primary, address) == ({"to recovery", "between the LANs"},) * 2
    run_at(lab, "web-1", RECOVERY)
    status = lab.json("status")
    assert status["differences"] is False
    assert {s["name"]: s["active"] for s in status["subnets"] if s["name"].startswith("web-")} == {
        "web-1": "recovery", "web-1.2": "recovery", "web-2": "primary"}

    assert lab.json("rollback", "--yes")["state"] == "committed"
    assert not differences(before, unordered(lab.states())), "the rollback is not exact"
    drill = lab.json("drill", "--move", "web-1=recovery", "--hold", "300ms", "--yes", *PROBES[:4])
    assert drill["rolled_back_verified"]
    assert_nothing_lost(drill, 2)
    assert not differences(before, unordered(lab.states())), "the drill is not exact"
    assert way(lab, to_recovery, WEB1[4]) == ({"to primary", "between the LANs"},) * 2
    assert lab.loops() == loops


def test_a_network_there_and_back(lab):
    """All machines of the network, each at both sites as after a replication; then they go home by themselves."""
    for _ in range(2):  # from what the lab's administrator laid, then from Ferry's own routes
        before = unordered(lab.states())
        done = lab.json("apply", "--network", "Stretched-Primary", "--yes", *PROBES)
        assert done["state"] == "committed"
        assert_nothing_lost(done, 3)
        for address in (*WEB1.values(), WEB2):
            assert f"via {'2001:db8:ff:23::1' if ':' in address else '10.255.23.1'}" in ip("-n", lab.router(THIRD), "route", "get", address)
        back = lab.json("apply", "--failback", "--yes", *PROBES)
        assert back["state"] == "committed"
        assert_nothing_lost(back, 3)
    assert not differences(before, unordered(lab.states())), "the second failback brought back what the first one did"
