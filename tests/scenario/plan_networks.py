"""Topologies for planner tests: from files of public networks, or random; and the tool that plans on them.
SPDX-License-Identifier: MIT
"""

import json
import os
import pathlib
import random
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]


def edge_files():
    """The public networks ("N M", then "u v cost" lines), smallest first; empty where the data is missing."""
    data = pathlib.Path(os.environ.get("FERRY_SHARED_DATA", ROOT.parent / "shared" / "data"))
    files = sorted((data / "edges").glob("*.e")) if (data / "edges").is_dir() else []
    return sorted(files, key=lambda f: (f.stat().st_size, f.name))


def read_edges(path):
    """Edges of the largest connected component, renumbered from 0."""
    rows = [line.split() for line in path.read_text().splitlines()[1:] if line.strip()]
    ways = {}  # a link stands there once for each direction
    for u, v, c in rows:
        if u != v:
            ways.setdefault((int(u), int(v)), max(1, int(float(c))))
    edges = [(u, v, c, ways.get((v, u), c)) for (u, v), c in ways.items() if u < v or (v, u) not in ways]
    neighbours = {}
    for u, v, *_ in edges:
        neighbours.setdefault(u, []).append(v)
        neighbours.setdefault(v, []).append(u)
    best, seen = set(), set()
    for root in neighbours:
        if root in seen:
            continue
        part, todo = {root}, [root]
        while todo:
            for w in neighbours[todo.pop()]:
                if w not in part:
                    part.add(w)
                    todo.append(w)
        seen |= part
        best = max(best, part, key=len)
    number = {v: i for i, v in enumerate(sorted(best))}
    return len(number), [(number[u], number[v], *costs) for u, v, *costs in edges if u in number]


def topology(n, edges, old, new, ecmp, family=4, via=False, extra_subnets=0):
    """`old` and `new`: routers with gateways of the subnet "app", of the sites "primary" and "recovery"."""
    routers = [{"name": f"r{i}", "site": "primary" if i in old else "recovery" if i in new else "third",
                "driver": {"type": "sim"}, "interfaces": [{"name": "lan0"}]} for i in range(n)]
    links = []
    for k, edge in enumerate(edges):
        u, v, costs = edge[0], edge[1], list(edge[2:])
        base = (10 << 24) + 4 * k
        for i, (me, other) in enumerate(((u, v), (v, u))):
            host = base + 1 + i
            v4 = ".".join(str(host >> s & 255) for s in (24, 16, 8, 0))
            routers[me]["interfaces"].append(
                {"name": f"l{k}", "addresses": [f"{v4}/30", f"fd00:0:{k >> 16:x}:{k & 0xffff:x}::{i + 1}/64"]})
        links.append({"endpoints": [f"r{u}:l{k}", f"r{v}:l{k}"],
                      **({"costs": costs} if len(costs) == 2 else {"cost": costs[0]})})
    subnets = []
    for s in range(1 + extra_subnets):
        net = f"172.{16 + (s >> 8)}.{s & 255}" if family == 4 else f"fd01:0:0:{s:x}"
        prefix, address, behind = ((f"{net}.0/24", f"{net}.1/24", f"{net}.2") if family == 4
                                   else (f"{net}::/64", f"{net}::1/64", f"{net}::2"))
        gateway = {"via": behind, "interface": "lan0"} if via else {"interface": "lan0", "address": address}
        subnets.append({"name": "app" if s == 0 else f"app{s}", "prefix": prefix, "home": "primary",
                        "gateways": [{"router": f"r{g}", **gateway} for g in (*old, *new)]})
    if via:  # behind a device on the LAN of the gateway
        for g in (*old, *new):
            routers[g]["interfaces"][0]["addresses"] = [f"192.168.{g & 255}.1/24", f"fd02:0:0:{g:x}::1/64"]
        for s in subnets:
            for g in s["gateways"]:
                i = int(g["router"][1:])
                g["via"] = f"192.168.{i & 255}.2" if family == 4 else f"fd02:0:0:{i:x}::2"
    return {"ferry": 1, "name": "random", "ecmp": ecmp,
            "sites": [{"name": s} for s in ("primary", "recovery", "third")],
            "routers": routers, "links": links, "subnets": subnets}


def pick_gateways(rng, n, count):
    chosen = rng.sample(range(n), min(2 * count, n))
    return chosen[: len(chosen) // 2], chosen[len(chosen) // 2:]


def random_network(rng, n, extra):
    """A random tree with `extra` more links and small costs, so that ties happen."""
    edges = [(rng.randrange(v), v, rng.randint(1, 4)) for v in range(1, n)]
    for _ in range(extra):
        u, v = rng.sample(range(n), 2)
        edges.append((u, v, rng.randint(1, 4)))
    return edges


class Refused(Exception):
    """The planner's refusal; args[0] is the rule."""


class Tool:
    """plan-tool, found through PLAN_TOOL."""

    def __init__(self, path=None):
        self.path = path or os.environ.get("PLAN_TOOL")
        self.dir = tempfile.TemporaryDirectory(prefix="ferry-plan-")

    def run(self, *args, text=None, good=(0,)):
        done = subprocess.run([self.path, *args], input=text, capture_output=True, text=True, check=False)
        if done.returncode == 4:
            raise Refused(done.stderr.split(":")[0], done.stderr.strip())
        if done.returncode not in good:
            raise RuntimeError(f"plan-tool {args[0]}: status {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def file(self, name, doc):
        path = pathlib.Path(self.dir.name, name)
        path.write_text(doc if isinstance(doc, str) else json.dumps(doc), encoding="utf-8")
        return str(path)

    def plan(self, topology_doc, *moves, state=None):
        args = ["plan", self.file("topology.json", topology_doc)]
        if state is not None:
            args += ["--state", self.file("state.json", state)]
        return self.run(*args, *moves)

    def undo(self, text):
        return self.run("reverse", self.file("plan.json", text))

    def prove(self, text):
        """Raises Refused where the prover does not agree about the plan or its undo."""
        return self.run("prove", self.file("proved.json", text))

    def again(self, text, good=(0,)):
        return self.run("again", self.file("again.json", text), good=good)

    def rounds(self, old, target):
        lines = [str(len(old))]
        for a, b in zip(old, target):
            lines.append(" ".join(map(str, (len(a), *a, len(b), *b))))
        out = self.run("rounds", text="\n".join(lines) + "\n")
        return [None if word == "-" else int(word) for word in out.split()]


def rng_of(*parts):
    """The same seed for the same words, on every machine."""
    return random.Random("/".join(map(str, parts)))
