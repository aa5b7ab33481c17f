"""The planner against an independent reader of plan documents, on public and random networks.

Uses plan-tool (tests/unit/plan_tool.c), whose path is in PLAN_TOOL.  The full run over all public networks is
tests/campaign/plan-all-networks.  SPDX-License-Identifier: MIT
"""

import copy
import hashlib
import json
import os

import networkx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import plan_networks as nets
from plan_checker import Topology, Unsafe, check, check_both

if not os.environ.get("PLAN_TOOL"):
    pytest.skip("PLAN_TOOL does not say where plan-tool is", allow_module_level=True)
TOOL = nets.Tool()
QUICK = settings(max_examples=int(os.environ.get("FERRY_EXAMPLES", "60")), deadline=None, derandomize=True,
                 suppress_health_check=list(HealthCheck))


def plan_and_check(topology, *moves, state=None):
    text = TOOL.plan(topology, *(moves or ("app=recovery",)), state=state)
    assert TOOL.again(text) == text, "reading and writing a plan changes it"
    plan = json.loads(text)
    try:
        TOOL.prove(text)
    except nets.Refused as refusal:
        # The prover holds it against an undo when it puts a router's own blackhole back.
        drops = state and any(e["type"] != "unicast" for held in state["groups"][0]["initial"].values()
                              for e in held[:1] if e["type"] != "gateway")
        if drops and refusal.args[1].startswith("unfinished: undo"):
            return plan, check_both(Topology(topology), plan, json.loads(TOOL.undo(text)))
        pytest.fail(f"the prover refuses: {refusal.args[1]}\n{json.dumps(topology)}\n{json.dumps(state)}\n{text}")
    try:
        return plan, check_both(Topology(topology), plan, json.loads(TOOL.undo(text)))
    except Unsafe:
        print(json.dumps(topology))
        print(json.dumps(state))
        print(text)
        raise


# ---- Public networks. ----


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("ecmp", [False, True])
def test_public_networks(count, ecmp):
    files = nets.edge_files()
    if not files:
        pytest.skip("SKIPPED ALOUD: no public networks in $FERRY_SHARED_DATA or ../shared/data")
    for path in files[::15]:
        n, edges = nets.read_edges(path)
        old, new = nets.pick_gateways(nets.rng_of(path.name, count), n, count)
        plan_and_check(nets.topology(n, edges, old, new, ecmp))


# ---- Random networks. ----


@st.composite
def networks(draw, most=9):
    n = draw(st.integers(2, most))
    edges = [(draw(st.integers(0, v - 1)), v, draw(st.integers(1, 3)), draw(st.integers(1, 3)))
             for v in range(1, n)]
    for _ in range(draw(st.integers(0, n))):
        u, v = draw(st.integers(0, n - 1)), draw(st.integers(0, n - 1))
        if u != v:
            edges.append((u, v, draw(st.integers(1, 3)), draw(st.integers(1, 3))))
    count = draw(st.integers(1, max(1, min(2, n // 2))))
    chosen = draw(st.permutations(range(n)))[: 2 * count]
    return n, edges, list(chosen[:count]), list(chosen[count:]), draw(st.booleans())


@QUICK
@given(networks(), st.sampled_from([4, 6]), st.booleans(), st.sampled_from([None, 100]), st.sampled_from([None, 77]))
def test_random_networks(network, family, via, subnet_table, router_table):
    n, edges, old, new, ecmp = network
    topology = nets.topology(n, edges, old, new, ecmp, family=family, via=via)
    if subnet_table:
        topology["subnets"][0]["table"] = subnet_table
    if router_table:
        topology["routers"][new[0]]["table"] = router_table
    plan, _ = plan_and_check(topology)
    for change in (c for s in plan["stages"] for c in s["changes"]):
        expected = subnet_table or (router_table if change["router"] == f"r{new[0]}" else None)
        assert change.get("table") == expected


def live_state(draw, topology, plan):
    """What an administrator may have left: from the clean state, router by router, something else."""
    t = Topology(topology)
    group = copy.deepcopy(plan["groups"][0])
    initial, covers = group["initial"], {}
    version = 4 if "." in group["subnets"][0]["prefix"] else 6
    cover_prefix = "172.0.0.0/8" if version == 4 else "fd00::/8"

    def hop(name, k):
        w, _, dev, there = t.links[name][k % len(t.links[name])]
        via = next(str(a.ip) for a in there if a.version == version)
        return {"router": w, "via": via, "dev": dev}

    def unicast(name, metric, hops):
        unique = {json.dumps(h): h for h in hops}.values()
        return {"type": "unicast", "metric": metric, "protocol": "static", "nexthops": list(unique)}

    # Attached nowhere, or at one of two gateways; packets for the lost one may or may not go astray.
    lost = draw(st.sampled_from([0, 0, 0, 0, 0, 0, 1, 2]))
    for name in t.routers:
        attached = any(e["type"] == "gateway" for e in initial.get(name, []))
        if attached and lost:
            lost -= 1
            del initial[name]
            attached = False
        metric = draw(st.sampled_from([0, 1, 2, 20, 21, 256, 257, 2100, 4000000000]))
        if name in initial and not attached:
            if draw(st.integers(0, 3)) == 0:
                initial[name][0] = {**initial[name][0], "metric": metric}
            kind = draw(st.integers(0, 11))
            if kind == 0:
                del initial[name]
            elif kind == 1:
                covers[name] = {"prefix": cover_prefix, "entry": unicast(name, 100, initial.pop(name)[0]["nexthops"])}
            elif kind == 2:
                initial[name] = [{"type": draw(st.sampled_from(["blackhole", "unreachable", "prohibit"])),
                                  "metric": metric, "protocol": draw(st.sampled_from(["static", "ferry"]))}]
            elif kind == 3:
                hops = [hop(name, draw(st.integers(0, 9))) for _ in range(draw(st.integers(1, 2)))]
                initial[name] = [unicast(name, metric, hops)]
            elif kind == 4:
                del initial[name]
                covers[name] = {"prefix": cover_prefix, "entry": unicast(name, 5, [hop(name, draw(st.integers(0, 9)))])}
            elif kind == 5:
                initial[name] = [unicast(name, metric, [{"router": None, "via": "10.255.255.254" if version == 4 else
                                                         "fd00:ffff::1", "dev": "wan0"}])]
        if name in initial:
            top = initial[name][0]["metric"] if not attached else draw(st.sampled_from([0, 1, 256, 256, 1000]))
            for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2, 3]))):
                top += draw(st.sampled_from([1, 1, 2, 5, 2000]))
                if top < 2**32:
                    initial[name].append(draw(st.sampled_from([
                        unicast(name, top, [hop(name, draw(st.integers(0, 9)))]),
                        {"type": "blackhole", "metric": top, "protocol": draw(st.sampled_from(["static", "ferry"]))}])))
    return {"ferry": 1, "kind": "plan", "mode": "planned", "routers": {r: {} for r in t.routers},
            "groups": [{**group, "initial": initial, "covers": covers}], "stages": []}


RULES = {"loop", "gateway-beaten", "no-metric"}


@settings(QUICK, max_examples=int(os.environ.get("FERRY_EXAMPLES", "120")))
@given(networks(), st.sampled_from([4, 6]), st.data())
def test_random_live_states(network, family, data):
    n, edges, old, new, ecmp = network
    topology = nets.topology(n, edges, old, new, ecmp, family=family)
    clean = json.loads(TOOL.plan(topology, "app=recovery"))
    state = live_state(data.draw, topology, clean)
    try:
        plan_and_check(topology, state=state)
    except nets.Refused as refusal:
        assert refusal.args[0] in RULES, refusal.args[1]


# ---- Rounds against the exact optimum. ----


def next_hops(rng, n, edges, root, ecmp):
    """Shortest-path next hops towards `root` under fresh random costs."""
    graph = networkx.Graph()
    graph.add_nodes_from(range(n))
    for u, v, *_ in edges:
        graph.add_edge(u, v, weight=rng.randint(1, 3))
    distance = networkx.single_source_dijkstra_path_length(graph, root)
    hops = []
    for v in range(n):
        best = [w for w in graph[v] if distance[w] + graph[v][w]["weight"] == distance[v]] if v != root else []
        hops.append(sorted(best) if ecmp else sorted(best)[:1])
    return hops


def acyclic(old, target, done, both):
    graph = networkx.DiGraph()
    for v, (a, b) in enumerate(zip(old, target)):
        if v not in done:
            graph.add_edges_from((v, w) for w in a)
        if v in done or v in both:
            graph.add_edges_from((v, w) for w in b)
    return networkx.is_directed_acyclic_graph(graph)


def optimum(old, target, changing):
    """The fewest rounds, by breadth-first search over the sets of routers that are done."""
    level, seen, rounds = {frozenset()}, {frozenset()}, 0
    everything = frozenset(changing)
    while everything not in level:
        rounds += 1
        reached = set()
        for done in level:
            # All subsets of a safe round are safe: grow them one by one.
            todo, tried = [frozenset()], {frozenset()}
            while todo:
                both = todo.pop()
                for v in everything - done - both:
                    more = both | {v}
                    if more not in tried and acyclic(old, target, done, more):
                        tried.add(more)
                        todo.append(more)
            reached |= {done | both for both in tried}
        level = reached - seen
        seen |= level
    return rounds


def any_hops(rng, n, root, ecmp):
    """Next hops that have nothing to do with any costs: down a random order."""
    order = [root, *rng.sample([v for v in range(n) if v != root], n - 1)]
    hops = [[] for _ in range(n)]
    for i, v in enumerate(order[1:], 1):
        low = max(0, i - rng.choice([1, 1, 2, n]))  # mostly long chains
        hops[v] = sorted(rng.sample(order[low:i], min(i - low, rng.choice([1, 2]) if ecmp else 1)))
    return hops


def round_instance(seed, ecmp):
    rng = nets.rng_of("rounds", seed, ecmp)
    n = rng.randint(4, 9)
    root = rng.randrange(n)
    if seed % 2:
        return any_hops(rng, n, root, ecmp), any_hops(rng, n, root, ecmp)
    edges = nets.random_network(rng, n, rng.randint(1, n))
    return next_hops(rng, n, edges, root, ecmp), next_hops(rng, n, edges, root, ecmp)


def check_rounds(old, target, rounds):
    """Every round safe on its own, all done at the end."""
    done = set()
    for i in range(max((r for r in rounds if r is not None), default=-1) + 1):
        both = {v for v, r in enumerate(rounds) if r == i}
        assert both and acyclic(old, target, done, both)
        done |= both
    assert done == {v for v in range(len(old)) if set(old[v]) != set(target[v])}


@pytest.mark.parametrize("ecmp", [False, True])
def test_rounds_against_the_optimum(ecmp):
    count, worse, histogram = int(os.environ.get("FERRY_ROUNDS", "60")), 0, {}
    for seed in range(count):
        old, target = round_instance(seed, ecmp)
        rounds = TOOL.rounds(old, target)
        check_rounds(old, target, rounds)
        used = max((r + 1 for r in rounds if r is not None), default=0)
        best = optimum(old, target, [v for v, r in enumerate(rounds) if r is not None])
        assert best <= used <= best + 1
        worse += used > best
        histogram[best] = histogram.get(best, 0) + 1
    print(f"ecmp {ecmp}: {count} instances, {worse} above the optimum; optima {dict(sorted(histogram.items()))}")
    assert worse <= count // 100


def test_chain_that_every_naive_order_loops():
    """A line that turns round: every router loops with the next one until that has turned."""
    n = 9
    old = [[]] + [[v - 1] for v in range(1, n)]
    target = [[]] + [[v + 1] for v in range(1, n - 1)] + [[0]]
    rounds = TOOL.rounds(old, target)
    check_rounds(old, target, rounds)
    assert rounds == [None, *range(n - 2, -1, -1)]


# ---- Documents. ----


def test_identity_is_that_of_the_content():
    topology = nets.topology(3, [(0, 1, 1), (1, 2, 1), (0, 2, 1)], [0], [1], False)
    text = TOOL.plan(topology, "app=recovery")
    plan = json.loads(text)
    bare = {k: v for k, v in plan.items() if k not in ("id", "proof")}
    compact = json.dumps(bare, separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(compact.encode()).hexdigest() == plan["id"]
    tampered = text.replace('"metric": 2100', '"metric": 2101')
    assert tampered != text
    TOOL.again(tampered, good=(3,))
    # Without an id it claims nothing, and unknown members that start with x- do not count.
    TOOL.again(json.dumps({**bare, "x-note": {"router": "nobody"}}), good=(0,))


def test_documents_written_by_hand_need_few_members():
    bare = {"ferry": 1, "kind": "plan",
            "groups": [{"id": "g1", "from": "a", "to": "b", "subnets": [{"name": "app", "prefix": "10.1.0.0/16"}],
                        "initial": {"x": [{"type": "gateway"}],
                                    "y": [{"type": "unicast", "metric": 5, "nexthops": [{"router": "x"}]}]}}],
            "stages": [{"phase": "detach", "changes": [
                {"router": "x", "group": "g1", "kind": "gateway", "before": {"type": "gateway"}, "after": None}]}]}
    again = json.loads(TOOL.again(json.dumps(bare)))
    assert list(again["routers"]) == ["x", "y"]
    assert again["groups"][0]["initial"]["y"][0]["nexthops"] == [{"router": "x"}]
    assert again["stages"][0]["changes"][0]["after"] is None


def test_many_subnets_are_one_group():
    topology = nets.topology(4, [(0, 1, 1), (1, 2, 1), (2, 3, 1)], [0], [3], False, extra_subnets=299)
    plan = json.loads(TOOL.plan(topology, "*=recovery"))
    assert len(plan["groups"]) == 1 and len(plan["groups"][0]["subnets"]) == 300
    # One of them elsewhere: a group of its own, and all in the same four kinds of stages.
    topology["subnets"][7]["gateways"][1]["router"] = "r2"
    topology["routers"][2]["site"] = "recovery"
    plan, _ = plan_and_check(topology, "*=recovery")
    assert sorted(len(g["subnets"]) for g in plan["groups"]) == [1, 299]
    assert [s["phase"] for s in plan["stages"]].count("detach") == 1


def test_moves_to_different_targets_at_once():
    topology = nets.topology(5, [(0, 1, 1), (1, 2, 1), (2, 3, 1), (3, 4, 1)], [0], [4], True, extra_subnets=2)
    for s in topology["subnets"][1:]:
        s["gateways"].append({**s["gateways"][0], "router": "r2"})
    plan, _ = plan_and_check(topology, "app=recovery", "app1=third", "app2=third")
    assert [(g["to"], len(g["subnets"])) for g in plan["groups"]] == [("recovery", 1), ("third", 2)]


def test_a_subnet_that_is_there_already_gives_no_changes():
    topology = nets.topology(3, [(0, 1, 1), (1, 2, 1)], [0], [2], False)
    plan = json.loads(TOOL.plan(topology, "app=primary"))
    assert plan["stages"] == [] and plan["groups"] == []


def test_the_checker_catches_unsafe_plans():
    """A checker that accepts everything would prove nothing."""
    topology = nets.topology(3, [(0, 1, 1), (1, 2, 1), (0, 2, 1)], [0], [1], False)
    plan = json.loads(TOOL.plan(topology, "app=recovery"))
    t = Topology(topology)

    def broken(rule, change):
        doc = copy.deepcopy(plan)
        change(doc["stages"])
        with pytest.raises(Unsafe, match=rule):
            check(t, doc)

    def attach_early(stages):
        gateway = next(c for c in stages[2]["changes"] if c["kind"] == "gateway")
        stages[2]["changes"].remove(gateway)
        stages[1]["changes"].append(gateway)

    broken("two-sites", attach_early)
    broken("falls|unfinished|lost", lambda s: s[0]["changes"].pop(0) and s[3]["changes"].pop(0))
    broken("falls|mismatch", lambda s: s.pop(0))
    broken("mismatch", lambda s: s[1]["changes"][0].update(before=s[1]["changes"][1]["before"]))
    broken("mismatch", lambda s: s[0]["changes"].append(s[0]["changes"][0]))
    broken("unfinished", lambda s: s.pop(3))
    broken("lost|loop", lambda s: s.insert(0, s.pop(1)) or s[0].update(phase="prepare"))
