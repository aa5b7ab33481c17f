"""Kinds of move on real kernels, under 1,000 echo requests a second: a stretched subnet loses none of them, a
mixed plan brings everything there and back (topologies/kinds.json).
"""
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "netns"))
import labtool  # noqa: E402
from labtool import Lab, differences, namespaces, unordered  # noqa: E402
from outages import OUTAGE_MS, moved  # noqa: E402

pytestmark = pytest.mark.skipif(labtool.WHY_NOT is not None, reason=str(labtool.WHY_NOT))

ALL = [word for kind in ("Retained", "Stretched", "Changed") for word in ("--network", f"{kind}-Primary")]


@pytest.fixture(name="lab")
def make_lab(tmp_path):
    before = namespaces()
    with Lab("kinds", tmp_path, tag="k") as lab:
        yield lab
    assert namespaces() == before, "namespaces were left behind"


def outage(document, address):
    return [o for o in document["outage"] if address in o["vantage"]]


def assert_nothing_lost(document, address):
    found = outage(document, address) or document["outage"]
    assert found
    for o in found:
        assert (o["lost"], o["ttl_exceeded"], o["duplicates"]) == (0, 0, 0) and o["sent"] >= 100, o


def test_stretched_loses_no_packet_there_and_back(lab):
    before, loops = unordered(lab.states()), lab.loops()
    probe = ["--yes", "--probe", "192.168.2.10"]
    done = lab.json("apply", "--move", "web=recovery", *probe)
    assert done["state"] == "committed"
    assert_nothing_lost(done, "192.168.2.10")
    assert lab.json("status")["differences"] is False
    back = lab.json("rollback", "--yes")
    assert back["state"] == "committed"
    assert not differences(before, unordered(lab.states())), "the rollback is not exact"
    drill = lab.json("drill", "--move", "web=recovery", "--hold", "300ms", *probe)
    assert drill["rolled_back_verified"]
    assert_nothing_lost(drill, "192.168.2.10")
    assert not differences(before, unordered(lab.states())) and lab.loops() == loops


def test_a_mixed_plan_there_and_back(lab):
    done, barrier = moved(lab, "apply", *ALL, "--yes", "--probe", "192.168.1.10", "--probe", "192.168.2.10")
    assert done["state"] == "committed" and {a["machine"] for a in done["addresses"]} >= {"app-1", "web-1", "db-1"}
    assert_nothing_lost({"outage": outage(done, "192.168.2.10")}, "192.168.2.10")
    assert all(o["ms"] < OUTAGE_MS + sum(barrier) and not o["ttl_exceeded"] for o in done["outage"]), done["outage"]
    client = lab.host("client", "kind-third")
    for address in ("192.168.1.10", "192.168.2.10", "172.16.1.10"):
        assert lab.answers(client, address)
    lab.ferry("apply", "--failback", "--yes")
    assert [s["active"] for s in lab.json("status")["subnets"]] == ["primary", "primary", "primary", "recovery"]
    after = {a["machine"]: a["reason"] for a in lab.json("addresses")["addresses"]}
    assert after["db-1"] == "outside-pool"  # assigned no more
    before = unordered(lab.states())
    lab.ferry("apply", *ALL, "--yes")
    lab.ferry("rollback", "--yes")
    assert not differences(before, unordered(lab.states())), "the rollback is not exact"
