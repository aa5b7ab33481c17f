"""Every state that real kernels pass through during a move, from their own event stream.

One socket hears the route changes of all routers' namespaces (`ip monitor all-nsid`) in the order in which the kernel
made them. Each is replayed on the tables that were read before, and after each one the packet walk from every router
is checked: no loop, never two sites, and service whole before the first detachment and after the attachment.
"""
import collections
import json
import os
import re
import subprocess
import sys
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "netns"))
import labtool  # noqa: E402
from labtool import Lab, ip, until  # noqa: E402

pytestmark = pytest.mark.skipif(labtool.WHY_NOT is not None, reason=str(labtool.WHY_NOT))

MOVES = [("three-site", "app", "recovery"), ("chain", "app", "recovery"), ("ring-six", "app", "east"),
         ("ring-six", "db", "west"), ("two-gateways", "app", "recovery"), ("public-network", "app", "gr"),
         ("dual-stack", "app6", "recovery")]

Route = collections.namedtuple("Route", "kind vias")  # kind: deliver, drop, via


class World:
    """What every router holds for one prefix of table main: {router: {metric: Route}}."""

    def __init__(self, lab, subnet):
        self.lab, self.prefix = lab, subnet["prefix"]
        self.v6 = ":" in self.prefix
        self.owner = {a.split("/")[0]: r["name"] for r in lab.document["routers"] for i in r["interfaces"]
                      for a in i.get("addresses", [])}
        self.site = {r["name"]: r["site"] for r in lab.document["routers"]}
        self.tables = self.read()

    def read(self):
        tables = {}
        for router in self.lab.routers:
            tables[router] = table = {}
            for o in json.loads(ip("-n", router, "-6" if self.v6 else "-4", "-j", "-d", "route", "show", self.prefix)):
                hops = o.get("nexthops", [o])
                table[o.get("metric", 0)] = self.route(o.get("type", "unicast"), o["protocol"],
                                                       [h["gateway"] for h in hops if "gateway" in h])
        return tables

    def route(self, kind, protocol, vias):
        if kind in ("blackhole", "unreachable", "prohibit"):
            return Route("drop", ())
        return Route("via", tuple(sorted(self.owner[v] for v in vias))) if vias else Route("deliver", (protocol,))

    def replay(self, router, line):
        """One line of `ip -o monitor route`; False where it is about something else."""
        words = line.split()
        deleted = words[0] == "Deleted"
        while words[0] in ("Deleted", "Replaced", "Append"):
            words.pop(0)
        kind = words.pop(0) if words[0] in ("blackhole", "unreachable", "prohibit", "unicast") else "unicast"
        if words[0] != self.prefix or ("table" in words and words[words.index("table") + 1] != "main"):
            return False
        metric = int(words[words.index("metric") + 1]) if "metric" in words else 0
        vias = [words[i + 1] for i, word in enumerate(words) if word == "via"]
        route = self.route(kind, words[words.index("proto") + 1] if "proto" in words else "boot", vias)
        table = self.tables[router]
        if deleted and self.v6 and metric in table:  # an IPv6 event may be about one leg
            left = tuple(v for v in table[metric].vias if v not in route.vias) if route.kind == "via" else ()
            table.pop(metric)
            if left:
                table[metric] = Route("via", left)
        elif deleted:
            assert table.get(metric) == route, f"{router}: what goes is not what was there: {line}"
            table.pop(metric)
        else:
            table[metric] = route
        return True

    def best(self, router):
        table = self.tables[router]
        return table[min(table)] if table else Route("drop", ())

    def walk(self):
        """The routers from which every way ends at the subnet; asserts that none loops and one site has it."""
        sites = {self.site[r] for r in self.tables if self.best(r).kind == "deliver"}
        assert len(sites) <= 1, f"attached at {sites}"
        state, good = {}, set()

        def visit(router):
            if state.get(router) == "open":
                raise AssertionError(f"a loop through {router}: {self.tables}")
            if router not in state:
                state[router] = "open"
                best = self.best(router)
                ends = [visit(v) for v in best.vias] if best.kind == "via" else [best.kind == "deliver"]
                state[router] = "closed"
                if all(ends):
                    good.add(router)
            return router in good

        for router in self.tables:
            visit(router)
        return good


class Monitor:
    """Hears all routers of a lab through one socket, from a namespace of its own."""

    def __init__(self, lab, directory):
        self.lab, self.netns, self.file = lab, lab.prefix + "monitor", os.path.join(str(directory), "events")

    def __enter__(self):
        ip("netns", "add", self.netns)
        for i, router in enumerate(self.lab.routers, 1):
            ip("-n", self.netns, "netns", "set", router, i)
        with open(self.file, "w", encoding="utf-8") as out:
            self.process = subprocess.Popen(["ip", "-n", self.netns, "-o", "monitor", "route", "all-nsid"], stdout=out)
        # It listens when it hears a route come and go.
        probe = self.lab.routers[0]

        def heard():
            ip("-n", probe, "route", "add", "blackhole", "203.0.113.0/24")
            ip("-n", probe, "route", "del", "blackhole", "203.0.113.0/24")
            time.sleep(0.05)
            return "203.0.113.0" in self.text()
        until("the monitor", heard)
        self.skip = len(self.text().splitlines())
        return self

    def text(self):
        with open(self.file, encoding="utf-8") as f:
            return f.read()

    def events(self):
        last = self.lab.routers[0]
        ip("-n", last, "route", "add", "blackhole", "203.0.113.9/32")  # all that comes before it is in the file then
        until("the last event", lambda: "203.0.113.9" in self.text())
        ip("-n", last, "route", "del", "blackhole", "203.0.113.9/32")
        for line in self.text().splitlines()[self.skip:]:
            found = re.match(r"\[nsid (\d+)\](.*)", line)
            if found and "203.0.113." not in line:
                yield self.lab.routers[int(found[1]) - 1], found[2].replace("\\", " ")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        ip("netns", "del", self.netns)


def check(world, monitor):
    """Replays and walks; what was seen: number of events, how often the subnet was attached nowhere, and whether all
    routers delivered, without repetitions: [True, False, True] is whole, lost once, whole again."""
    everyone = set(world.lab.routers)
    n, nowhere, whole = 0, 0, [world.walk() == everyone]
    for router, line in monitor.events():
        if world.replay(router, line):
            n += 1
            good = world.walk() == everyone
            nowhere += all(world.best(r).kind != "deliver" for r in everyone)
            if good != whole[-1]:
                whole.append(good)
    return n, nowhere, whole


@pytest.mark.parametrize("name,subnet,to", MOVES, ids=[f"{n}-{s}" for n, s, _ in MOVES])
def test_every_event_leaves_a_safe_state(name, subnet, to, tmp_path):
    with Lab(name, tmp_path, tag="e") as lab:
        world = World(lab, next(s for s in lab.document["subnets"] if s["name"] == subnet))
        for verb in (["apply", "--move", f"{subnet}={to}", "--yes"], ["rollback", "--yes"]):
            with Monitor(lab, tmp_path) as monitor:
                lab.ferry(*verb)
                n, nowhere, whole = check(world, monitor)
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
                check(world, monitor)
