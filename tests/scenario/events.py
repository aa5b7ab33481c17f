"""The event stream of a lab's kernels, replayed on what the routers held before.

Monitor hears the route changes of all routers' namespaces through one socket (`ip monitor all-nsid`), in the
order in which the kernel made them.  World is one prefix on every router; after each event its packet walk
asks for loops and for two sites.

Used by test_events_lab.py and by tests/crash.
"""
import collections
import json
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "netns"))
from labtool import ip, until  # noqa: E402

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

    def one_site(self):
        sites = {self.site[r] for r in self.tables if self.best(r).kind == "deliver"}
        assert len(sites) <= 1, f"attached at {sites}"

    def walk(self):
        """The routers from which every way ends at the subnet; asserts that none loops and one site has it."""
        self.one_site()
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
        self.at, self.calls = 0, 0

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
        until("the monitor", heard, 60)
        self.events()
        return self

    def text(self):
        """What came since events() was called last."""
        with open(self.file, encoding="utf-8") as f:
            f.seek(self.at)
            return f.read()

    def events(self):
        """[(router, line)] since the last call."""
        self.calls += 1
        last, mark = self.lab.routers[0], ["blackhole", "203.0.113.9/32", "metric", self.calls]
        seen = re.compile(rf"blackhole 203\.0\.113\.9 .*metric {self.calls}\b.*\n")
        ip("-n", last, "route", "add", *mark)  # all that comes before it is in the file then
        end = until("the last event", lambda: seen.search(self.text()), 60, pause=0.002)
        ip("-n", last, "route", "del", *mark)
        text = self.text()[:end.end()]
        self.at += len(text.encode())
        found = [re.match(r"\[nsid (\d+)\](.*)", line) for line in text.splitlines() if "203.0.113." not in line]
        return [(self.lab.routers[int(m[1]) - 1], m[2].replace("\\", " ")) for m in found if m]

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        ip("netns", "del", self.netns)


def check(world, heard):
    """Replays and walks what was heard (Monitor.events()); what was seen: number of events, how often the subnet
    was attached nowhere, and whether all routers delivered, without repetitions: [True, False, True] is
    whole, lost once, whole again.
    """
    everyone = set(world.lab.routers)
    n, nowhere, whole = 0, 0, [world.walk() == everyone]
    for router, line in heard:
        if world.replay(router, line):
            n += 1
            good = world.walk() == everyone
            nowhere += all(world.best(r).kind != "deliver" for r in everyone)
            if good != whole[-1]:
                whole.append(good)
    return n, nowhere, whole
