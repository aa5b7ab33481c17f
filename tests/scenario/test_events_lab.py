"""Every state that real kernels pass through during a move, from their own event stream.

One socket hears the route changes of all routers' namespaces (`ip monitor all-nsid`) in the order in which the kernel
made them. Each is replayed on the tables that were read before, and after each one the packet walk from every router
is checked: no loop, never two sites, and service whole before the first detachment and after the attachment.
"""
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "netns")]
import labtool  # noqa: E402
from events import Monitor, World, check  # noqa: E402
from labtool import Lab, ip  # noqa: E402

pytestmark = pytest.mark.skipif(labtool.WHY_NOT is not None, reason=str(labtool.WHY_NOT))

MOVES = [("three-site", "app", "recovery"), ("chain", "app", "recovery"), ("ring-six", "app", "east"),
         ("ring-six", "db", "west"), ("two-gateways", "app", "recovery"), ("public-network", "app", "gr"),
         ("dual-stack", "app6", "recovery")]


@pytest.mark.parametrize("name,subnet,to", MOVES, ids=[f"{n}-{s}" for n, s, _ in MOVES])
def test_every_event_leaves_a_safe_state(name, subnet, to, tmp_path):
    with Lab(name, tmp_path, tag="e") as lab:
        world = World(lab, next(s for s in lab.document["subnets"] if s["name"] == subnet))
        for verb in (["apply", "--move", f"{subnet}={to}", "--yes"], ["rollback", "--yes"]):
            with Monitor(lab, tmp_path) as monitor:
                lab.ferry(*verb)
                n, nowhere, whole = check(world, monitor.events())
            assert n >= 6, "hardly an event was heard"
            assert nowhere > 0, "it was never away: the sites overlapped, or nothing moved"
            assert whole == [True, False, True]
            assert world.tables == world.read(), "the replay is not what the routers hold"


NAIVE = {
    "loop": ["-n edge-primary addr del 192.168.1.1/24 dev lan0",
             "-n edge-primary route add 192.168.1.0/24 via 10.255.12.2 metric 20"],
    "attached at": ["-n edge-recovery route del 192.168.1.0/24", "-n edge-recovery addr add 192.168.1.1/24 dev lan0"],
}


@pytest.mark.parametrize("what", NAIVE)
def test_the_check_sees_what_a_naive_order_does(what, tmp_path):
    with Lab("three-site", tmp_path, tag="e") as lab:
        world = World(lab, lab.document["subnets"][0])
        with Monitor(lab, tmp_path) as monitor:
            for command in NAIVE[what]:
                ip(*command.replace("-n ", "-n " + lab.prefix).split())
            with pytest.raises(AssertionError, match=what):
                check(world, monitor.events())
