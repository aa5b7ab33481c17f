"""Whole moves on routers that are reached over SSH: FRR's static routes, plain Linux, BGP, OSPF, all mixed, ten
routers.

Each lab is built once.  A move, its rollback and a drill go on under 1,000 datagrams a second that the moved
machine answers with the site it stands at; the kernel's own events are replayed and walked; and what comes
back is compared whole: configuration that runs, frr.conf on disk with its owner and mode, RIB, kernel.
"""
import ipaddress
import os
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import test_events_lab as events  # noqa: E402
from frrlab import WHY_NOT, FrrLab, Stream  # noqa: E402
from labtool import FERRY, differences, namespaces, until  # noqa: E402
from outages import moved  # noqa: E402

pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))

FULL = bool(os.environ.get("FERRY_TEST_FULL"))  # the default run is to take minutes
LABS = ["three-site-frr", "three-site-iproute", "three-site-bgp", "three-site-ospf", "mixed", "bgp-bird"] + ["ten-routers-frr"] * FULL


class Move:
    """One subnet of a lab, where it goes, and who asks for it."""

    def __init__(self, lab):
        self.lab = lab
        self.subnet = lab.document["subnets"][0]
        self.home = self.subnet["home"]
        self.to = next(lab.site[g["router"]] for g in self.subnet["gateways"] if lab.site[g["router"]] != self.home)
        self.words = ["--move", f"{self.subnet['name']}={self.to}"]
        prefix = ipaddress.ip_network(self.subnet["prefix"])
        self.machine, self.address = next((h["name"], a.split("/")[0]) for h in lab.document["lab"]["hosts"]
                                          for a in h["addresses"] if ipaddress.ip_interface(a).ip in prefix)
        self.client = next(iter(lab.hosts("client").values()))

    def stream(self):
        return Stream(self.lab, self.client, self.address, self.machine)

    def gateways(self, site):
        return sorted(g["router"] for g in self.subnet["gateways"] if self.lab.site[g["router"]] == site)

    def attached(self):
        address = next(g["address"].split("/")[0] for g in self.subnet["gateways"])
        return sorted(self.lab.attached(address))


@pytest.fixture(scope="module", params=LABS)
def move(request, tmp_path_factory):
    before = namespaces()
    lab = FrrLab(request.param, tmp_path_factory.mktemp(request.param), tag="f")
    with lab:
        yield Move(lab)
        done = lab.down()
    assert namespaces() == before, f"namespaces were left behind: {done.stderr}"


@pytest.fixture(autouse=True)
def home(move):
    """Where a test before left it elsewhere, it is brought home."""
    if move.attached() != move.gateways(move.home):
        move.lab.ferry("rollback", "--yes")


def watched(move, sites, *argv):
    """Runs ferry under the stream; its JSON.  What is lost is lost while Ferry detaches and attaches, and no longer:
    no protocol and no neighbour is waited for after that.
    """
    with move.stream() as stream:
        done, barrier = moved(move.lab, *argv, "--yes")
        seen = stream.stop()
    assert seen["sites"] == sites, f"answered by {seen['sites']}"
    assert seen["duplicates"] == 0 and not seen["ends_lost"], seen
    assert len(barrier) == 2 * (len(sites) - 1), barrier
    assert seen["sent"] > 100 and seen["dark_ms"] <= sum(barrier), (seen, barrier)
    return done


def assert_saved(lab):
    for router in filter(lab.has_frr, lab.routers):
        assert lab.saved(router), f"{router}: frr.conf is not what runs"


def test_there_and_back(move):
    lab, before, loops = move.lab, move.lab.states(), move.lab.loops()
    assert move.attached() == move.gateways(move.home)
    done = watched(move, [move.home, move.to], "apply", *move.words)
    assert done["state"] == "committed"
    assert lab.loops() == loops, "a router counted packets that ran out of hops"
    assert move.attached() == move.gateways(move.to)
    assert differences(before, lab.states()), "nothing moved"
    assert lab.json("status")["differences"] is False
    assert_saved(lab)

    back = watched(move, [move.to, move.home], "rollback")
    assert back["state"] == "committed" and back["undoes"] == done["id"]
    assert lab.loops() == loops
    assert not differences(before, lab.states()), differences(before, lab.states())
    assert_saved(lab)
    assert lab.json("lab", "status", lab.file)["baseline"]


def only(move, *labs):
    """What others show as well waits for FERRY_TEST_FULL."""
    if not FULL and not any(move.lab.document["name"].endswith(name) for name in labs):
        pytest.skip("FERRY_TEST_FULL=1 runs it")


def files(lab):
    """When each frr.conf was last written."""
    return {r: os.stat(lab.path(r, "frr", "frr.conf")).st_mtime_ns for r in lab.routers if lab.has_frr(r)}


def test_drill_leaves_no_trace(move):
    only(move, "three-site-frr", "three-site-iproute", "three-site-ospf", "bgp-bird", "mixed")
    lab, before, loops = move.lab, move.lab.states(), move.lab.loops()
    written = files(lab)
    drill = watched(move, [move.home, move.to, move.home], "drill", *move.words, "--hold", "300ms", "--probe", move.address)
    assert drill["state"] == "undone"
    assert drill["outage"]
    for outage in drill["outage"]:
        assert (outage["ttl_exceeded"], outage["duplicates"]) == (0, 0), outage
    assert lab.loops() == loops
    assert not differences(before, lab.states()), differences(before, lab.states())
    assert files(lab) == written, "a drill has saved what it did not keep"


def test_another_controller_is_kept_away(move, tmp_path):
    """One that shares nothing with the first but the routers: exit 8, and nothing is written.  The first one is
    killed then; its own state directory takes the routers over at once, and the other one may once it is
    done.
    """
    only(move, "three-site-iproute")
    lab, before = move.lab, move.lab.states()
    other = {"FERRY_STATE_DIR": str(tmp_path / "other")}
    back = ["apply", "--move", f"{move.subnet['name']}={move.home}", "--yes"]
    with subprocess.Popen([FERRY, "drill", *move.words, "--hold", "10m", "--yes"], env=lab.env, stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as drill:
        try:
            until("the hold", lambda: "verifying" in lab.ferry("history").stdout, 300, 0.3)
            refused = lab.ferry(*back, rc=8, env=other)
            assert "another Ferry is working on this router" in refused.stderr
            assert move.attached() == move.gateways(move.to)
        finally:
            drill.kill()
    lab.ferry("recover", "--yes", rc=(0, 5))
    assert not differences(before, lab.states()), differences(before, lab.states())
    until("the other one", lambda: lab.ferry("apply", *move.words, "--yes", rc=(0, 8), env=other).returncode == 0, 60, 0.5)
    lab.ferry("rollback", "--yes", env=other)
    assert not differences(before, lab.states()), differences(before, lab.states())


def test_every_event_leaves_a_safe_state(move, tmp_path):
    """From the kernel's own order of events: no loop, never two sites, and in a swap of next hops no route goes."""
    only(move, "three-site-frr", "three-site-bgp", "mixed")
    lab = move.lab
    world = events.World(lab, move.subnet)
    for verb in (["apply", *move.words, "--yes"], ["rollback", "--yes"]):
        held = {r: world.best(r).kind for r in lab.routers}
        with events.Monitor(lab, tmp_path) as monitor:
            lab.ferry(*verb)
            heard = monitor.events()
            n, nowhere, whole = events.check(world, heard)
        assert n >= 5, "hardly an event was heard"
        assert nowhere > 0, "it was never away: the sites overlapped, or nothing moved"
        assert whole == [True, False, True]
        assert world.tables == world.read(), "the replay is not what the routers hold"
        swapped = {r for r in lab.routers if held[r] == world.best(r).kind == "via"}
        gone = [(r, line) for r, line in heard if r in swapped and line.startswith("Deleted " + world.prefix)]
        assert not gone, f"a route was deleted where its next hop was to be swapped: {gone}"
