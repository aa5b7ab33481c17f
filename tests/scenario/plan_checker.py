"""An independent reader of plan documents: checks them against the contract alone (section 3).

Shares no code with Ferry.  Every change of a stage may or may not have taken effect; what a router may forward
to in a stage is the union over all subsets of its own changes, and a cycle is reachable if and only if the
union over all routers has one (a simple cycle uses one next-hop set a router).

Needs the topology as well, to know shortest paths, sites and addresses.  SPDX-License-Identifier: MIT
"""

import heapq
import ipaddress
import itertools
import json

DROP_PROTOCOLS = ("ferry", "210", 210)


class Unsafe(Exception):
    """The plan breaks a rule; the first word is the rule."""


class Topology:
    def __init__(self, doc):
        self.doc = doc
        self.routers = [r["name"] for r in doc["routers"]]
        self.site = {r["name"]: r["site"] for r in doc["routers"]}
        self.ecmp = doc.get("ecmp", False)
        self.gateways = {s["name"]: [g["router"] for g in s["gateways"]] for s in doc["subnets"]}
        self.subnets = {s["name"]: s for s in doc["subnets"]}
        addresses = {
            (r["name"], i["name"]): [ipaddress.ip_interface(a) for a in i.get("addresses", [])]
            for r in doc["routers"]
            for i in r["interfaces"]
        }
        self.links = {name: [] for name in self.routers}  # router: [(neighbour, cost, dev, addresses there)]
        for link in doc["links"]:
            (a, ai), (b, bi) = (e.split(":") for e in link["endpoints"])
            ab, ba = link.get("costs", [link.get("cost", 1)] * 2)
            self.links[a].append((b, ab, ai, addresses[b, bi]))
            self.links[b].append((a, ba, bi, addresses[a, ai]))

    def distances(self, gateways):
        """Distance of every router to the nearest of the gateways, in the direction of the packets."""
        into = {name: [] for name in self.routers}
        for v, links in self.links.items():
            for w, cost, _, _ in links:
                into[w].append((v, cost))
        distance = {g: 0 for g in gateways}
        queue = [(0, g) for g in gateways]
        while queue:
            d, w = heapq.heappop(queue)
            if d > distance[w]:
                continue
            for v, cost in into[w]:
                if d + cost < distance.get(v, float("inf")):
                    distance[v] = d + cost
                    heapq.heappush(queue, (d + cost, v))
        return distance

    def gateway_metric(self, subnet, router):
        """The metric that the attachment's own route has in a Linux table."""
        if ipaddress.ip_network(self.subnets[subnet]["prefix"]).version == 4:
            return 0
        table = self.subnets[subnet].get("table") or next(
            r.get("table", 254) for r in self.doc["routers"] if r["name"] == router)
        gateway = next(g for g in self.subnets[subnet]["gateways"] if g["router"] == router)
        return 1 if "via" in gateway or table != 254 else 256


def _key(entry):
    return "gateway" if entry["type"] == "gateway" else (entry.get("table", 254), entry["metric"])


def _top(holdings):
    if "gateway" in holdings:
        return holdings["gateway"]
    return min(holdings.values(), key=lambda e: e["metric"]) if holdings else None


def _hops(entry):
    if entry is None or entry["type"] != "unicast":
        return []
    return [h.get("router") for h in entry["nexthops"]]


def _find_cycle(edges):
    colour = {}
    for root in edges:
        if root in colour:
            continue
        path, todo = [], [(root, iter(edges[root]))]
        colour[root] = 1
        path.append(root)
        while todo:
            v, rest = todo[-1]
            w = next(rest, None)
            if w is None:
                colour[v] = 2
                path.pop()
                todo.pop()
            elif colour.get(w) == 1:
                return path[path.index(w):]
            elif w in edges and w not in colour:
                colour[w] = 1
                path.append(w)
                todo.append((w, iter(edges[w])))
    return None


class Group:
    """One group of a plan on its way through the stages."""

    def __init__(self, topology, doc, group):
        self.t, self.group = topology, group
        self.subnet = group["subnets"][0]["name"]
        self.state = {name: {} for name in topology.routers}
        for name, entries in group["initial"].items():
            for e in entries:
                if _key(e) in self.state[name]:
                    raise Unsafe(f"mismatch: {name}: two entries under one key")
                self.state[name][_key(e)] = e
        self.covers = {name: c["entry"] for name, c in group.get("covers", {}).items()}
        self.initial = {name: dict(held) for name, held in self.state.items()}
        self.delivered = self.delivering({n: [h] for n, h in self.state.items()})

    def forwarding(self, name, holdings):
        return _top(holdings) if holdings else self.covers.get(name)

    def possible(self, changes):
        """Every holding that a router can have while some of these changes have taken effect."""
        ret = {}
        mine = {}
        for c in changes:
            mine.setdefault(c["router"], []).append(c)
        for name, held in self.state.items():
            ret[name] = []
            own = mine.get(name, [])
            for r in range(len(own) + 1):
                for subset in itertools.combinations(own, r):
                    ret[name].append(self.apply(held, subset))
        return ret

    @staticmethod
    def apply(held, changes):
        held = dict(held)
        for c in changes:
            key = Group.change_key(c)
            held.pop(key, None)
            if c["after"] is not None:
                held[key] = c["after"]
        return held

    @staticmethod
    def change_key(c):
        return "gateway" if c["kind"] == "gateway" else (c.get("table", 254), c["metric"])

    def delivering(self, possible):
        """Routers all of whose possible ways end at a gateway, whatever has taken effect."""
        edges, dead = {}, set()
        for name, all_held in possible.items():
            edges[name] = set()
            for held in all_held:
                way = self.forwarding(name, held)
                if way is not None and way["type"] == "gateway":
                    continue
                hops = _hops(way)
                if not hops or None in hops:
                    dead.add(name)
                edges[name].update(h for h in hops if h)
        back = {name: [] for name in edges}
        for v, ws in edges.items():
            for w in ws:
                back[w].append(v)
        todo = list(dead)
        while todo:
            for v in back[todo.pop()]:
                if v not in dead:
                    dead.add(v)
                    todo.append(v)
        return set(edges) - dead

    def stage(self, phase, changes, settled):
        seen = set()
        for c in changes:
            key = self.change_key(c)
            if (c["router"], key) in seen:
                raise Unsafe(f"mismatch: {c['router']}: two changes of one key in a stage")
            seen.add((c["router"], key))
            if self.state[c["router"]].get(key) != c["before"]:
                raise Unsafe(f"mismatch: {c['router']} {key}: found {self.state[c['router']].get(key)}, "
                             f"expected {c['before']}")
            for side in (c["before"], c["after"]):
                if side is not None and _key(side) != key:
                    raise Unsafe(f"mismatch: {c['router']}: an entry is not under its change's key")
        possible = self.possible(changes)
        self.check_loops(possible)
        self.check_gateways(possible)
        if phase in ("prepare", "settle"):
            lost = (settled if phase == "settle" else self.delivered) - self.delivering(possible)
            if lost:
                raise Unsafe(f"lost: {sorted(lost)[:5]} in {phase}")
        for c in changes:
            self.state[c["router"]] = self.apply(self.state[c["router"]], [c])
        return possible

    def check_loops(self, possible):
        edges = {name: sorted({h for held in all_held for h in _hops(self.forwarding(name, held)) if h})
                 for name, all_held in possible.items()}
        cycle = _find_cycle(edges)
        if cycle:
            raise Unsafe(f"loop: {' -> '.join(cycle)}")

    def check_gateways(self, possible):
        sites = {self.t.site[name] for name, all_held in possible.items()
                 if any("gateway" in held for held in all_held)}
        if len(sites) > 1:
            raise Unsafe(f"two-sites: {sorted(sites)}")
        for name, all_held in possible.items():
            for held in all_held:
                if "gateway" in held and any(
                        k != "gateway" and e["metric"] <= self.t.gateway_metric(self.subnet, name)
                        for k, e in held.items()):
                    raise Unsafe(f"gateway-beaten: {name}: {held}")

    def check_falls(self, possible):
        """Who holds something at both ends holds something all the time."""
        for name, all_held in possible.items():
            if self.initial[name] and self.final[name] and not all(all_held):
                raise Unsafe(f"falls: {name}")


def check(topology, doc, goal=True):
    """Raises Unsafe, or returns the rounds (prepare stages that change forwarding) and the final states."""
    rounds, ends = 0, []
    phases = [s["phase"] for s in doc["stages"]]
    order = ["prepare", "detach", "attach", "settle"]
    if phases != sorted(phases, key=order.index) or phases.count("detach") > 1 or phases.count("attach") > 1:
        raise Unsafe(f"phases: {phases}")
    for group_doc in doc["groups"]:
        group = Group(topology, doc, group_doc)
        stages = [(s["phase"], [c for c in s["changes"] if c["group"] == group_doc["id"]]) for s in doc["stages"]]
        end = {n: dict(h) for n, h in group.state.items()}
        for _, changes in stages:
            for c in changes:
                end[c["router"]] = group.apply(end[c["router"]], [c])
        group.final = end
        settled = group.delivering({n: [h] for n, h in end.items()})
        used = 0
        for phase, changes in stages:
            possible = group.stage(phase, changes, settled)
            group.check_falls(possible)
            if phase == "prepare":
                used += any(len({json.dumps(_top(h)) for h in held}) > 1 for held in possible.values())
        if goal and not group.delivered <= settled:  # an undo goes back to what was, whole or not
            raise Unsafe(f"unfinished: {sorted(group.delivered - settled)[:5]} delivered before and not after")
        if goal:
            check_goal(topology, group, group_doc)
        rounds = max(rounds, used)
        ends.append(end)
    return rounds, ends


def check_goal(t, group, doc):
    gateways = {r for r in t.gateways[group.subnet] if t.site[r] == doc["to"]}
    distance = t.distances(gateways)
    family = ipaddress.ip_network(doc["subnets"][0]["prefix"]).version
    for name, held in group.final.items():
        if any(e["type"] == "blackhole" and e["protocol"] in DROP_PROTOCOLS for e in held.values()):
            raise Unsafe(f"unfinished: {name}: a blackhole is left")
        if ("gateway" in held) != (name in gateways):
            raise Unsafe(f"unfinished: {name}: attached where it should not be, or not where it should")
        if name in gateways or name not in distance:
            if name not in distance and held != group.initial[name]:
                raise Unsafe(f"foreign: {name} has no path and is changed")
            continue
        top = _top(held)
        if top is None or top["type"] != "unicast":
            raise Unsafe(f"unfinished: {name} holds no route")
        best = {(w, dev, str(a.ip)) for w, cost, dev, there in t.links[name] for a in there
                if a.version == family and w in distance and cost + distance[w] == distance[name]}
        hops = {(h["router"], h["dev"], h["via"]) for h in top["nexthops"]}
        if not hops <= best or (t.ecmp and hops != best) or (not t.ecmp and len(hops) != 1):
            raise Unsafe(f"unfinished: {name} forwards to {hops}, shortest are {best}")


def check_both(topology, plan, undo):
    """The plan and its undo; the undo ends exactly where the plan began."""
    rounds, ends = check(topology, plan)
    _, undo_ends = check(topology, undo, goal=False)
    for group, undo_group, end, undo_end in zip(plan["groups"], undo["groups"], ends, undo_ends):
        start = {n: sorted(e, key=json.dumps) for n, e in group["initial"].items()}
        back = {n: sorted(h.values(), key=json.dumps) for n, h in undo_end.items() if h}
        if start != back:
            raise Unsafe("undo: it does not end where the plan began")
        then = {n: sorted(e, key=json.dumps) for n, e in undo_group["initial"].items()}
        if then != {n: sorted(h.values(), key=json.dumps) for n, h in end.items() if h}:
            raise Unsafe("undo: it does not begin where the plan ends")
    return rounds
