"""The planner against an independent reader of plan documents, on public and random networks.

Uses plan-tool (tests/unit/plan_tool.c), whose path is in PLAN_TOOL.  The full run over all public networks is
tests/campaign/plan-all-networks.  SPDX-License-Identifier: MIT
"""

import copy
import hashlib
import json
import os
import subprocess

import networkx
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import plan_networks as nets
from plan_checker import Topology, Unsafe, check, check_both

if not os.environ.get("PLAN_TOOL"):
    pytest.skip("PLAN_TOOL does not say where plan-tool is", allow_module_level=True)
TOOL = nets.Tool()
QUICK = settings(max_examples=int(os.environ.get("FERRY_EXAMPLES", "150")), deadline=None, derandomize=True,
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
@given(networks(), st.sampled_from([4, 6]), st.booleans())
def test_random_networks(network, family, via):
    n, edges, old, new, ecmp = network
    plan_and_check(nets.topology(n, edges, old, new, ecmp, family=family, via=via))


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

    nowhere = draw(st.integers(0, 9)) == 0
    for name in t.routers:
        attached = any(e["type"] == "gateway" for e in initial.get(name, []))
        if attached and nowhere:
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


@settings(QUICK, max_examples=int(os.environ.get("FERRY_EXAMPLES", "500")))
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
