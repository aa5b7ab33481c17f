# Shortest paths of Ferry against python3-networkx, on networks that hypothesis makes up.  SPDX-License-Identifier: MIT
"""MODEL_TOOL is the program of tests/unit/model_tool.c."""

import json
import os
import subprocess

import networkx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TOOL = os.environ.get("MODEL_TOOL", "")
pytestmark = pytest.mark.skipif(not (os.path.isfile(TOOL) and os.access(TOOL, os.X_OK)), reason="MODEL_TOOL names no program")


@st.composite
def networks(draw):
    n = draw(st.integers(1, 9))
    router = st.integers(0, n - 1)
    link = st.tuples(router, router, st.integers(1, 4), st.integers(1, 4), st.sampled_from(["4", "6", "46"]))
    links = [one for one in draw(st.lists(link, max_size=18)) if one[0] != one[1]]
    gateways = draw(st.lists(router, max_size=3))
    return n, links, gateways, draw(st.booleans()), draw(st.sampled_from("46"))


def addresses(index, host, families):
    both = {"4": f"10.0.{index}.{host}/24", "6": f"2001:db8:{index + 1:x}::{host}/64"}
    return [both[f] for f in families]


def topology(n, links, ecmp):
    interfaces = [[] for _ in range(n)]
    document_links = []
    for i, (a, b, forward, backward, families) in enumerate(links):
        for router, host in ((a, 1), (b, 2)):
            interfaces[router].append({"name": f"l{i}", "addresses": addresses(i, host, families)})
        document_links.append({"endpoints": [f"r{a}:l{i}", f"r{b}:l{i}"], "costs": [forward, backward]})
    routers = [
        {"name": f"r{i}", "site": "s", "driver": {"type": "sim"}, "interfaces": interfaces[i]} for i in range(n)
    ]
    return {
        "ferry": 1, "name": "t", "ecmp": ecmp, "sites": [{"name": "s"}], "routers": routers,
        "links": document_links, "subnets": [],
    }


def arcs(links, family):
    for i, (a, b, forward, backward, families) in enumerate(links):
        if family in families:
            for start, end, cost, host in ((a, b, forward, 2), (b, a, backward, 1)):
                yield start, end, cost, f"l{i}@{addresses(i, host, family)[0].split('/')[0]}@r{end}"


def expected(n, links, gateways, ecmp, family):
    """By networkx: the distance of every router to the nearest gateway, then the arcs that keep it."""
    graph = networkx.DiGraph()
    graph.add_nodes_from(range(n))
    for start, end, cost, _ in arcs(links, family):
        old = graph.get_edge_data(end, start, {"weight": cost})["weight"]
        graph.add_edge(end, start, weight=min(old, cost))  # backwards: from the gateways
    distance = networkx.multi_source_dijkstra_path_length(graph, set(gateways)) if gateways else {}
    result = {}
    for router in range(n):
        hops = [
            hop for start, end, cost, hop in arcs(links, family)
            if start == router and end in distance and distance[end] + cost == distance[router]
        ]
        if router in gateways:
            hops = ["gateway"]
        elif router not in distance:
            hops = ["none"]
        result[f"r{router}"] = sorted(hops if ecmp else hops[:1])
    return result


@settings(max_examples=300, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(networks())
def test_next_hops_are_those_of_networkx(tmp_path_factory, network):
    n, links, gateways, ecmp, family = network
    path = tmp_path_factory.getbasetemp() / "spf.json"
    path.write_text(json.dumps(topology(n, links, ecmp)))
    done = subprocess.run([TOOL, path, family, *(f"r{g}" for g in gateways)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found = {}
    for line in done.stdout.splitlines():
        name, *hops = line.split(" ")
        found[name] = sorted(hops)
    assert found == expected(n, links, gateways, ecmp, family)
