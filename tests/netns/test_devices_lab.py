"""Moves to a gateway that brings its bridge and its table's rules along: by netlink, and by iproute over SSH.
Traffic before, after and after the rollback; what Ferry made is gone then, what was there is there.
"""
import json

import labtool
import pytest
from labtool import Lab, differences, ip, until

pytestmark = pytest.mark.skipif(labtool.WHY_NOT is not None, reason=str(labtool.WHY_NOT))

ADDRESS = "192.168.1.10"


def links(router):
    return [(entry["ifname"], entry.get("master"), entry["flags"]) for entry in json.loads(ip("-n", router, "-d", "-j", "link", "show"))]


@pytest.mark.parametrize("name, router, third", [("three-site", "edge-recovery", "edge-third"), ("three-site-iproute", "ipr-recovery", "ipr-third")])
def test_a_bridge_comes_with_the_gateway_and_goes_with_the_rollback(tmp_path, name, router, third):
    lab = Lab(name, tmp_path)
    recovery = lab.router(router)
    next(r for r in lab.document["routers"] if r["name"] == recovery)["interfaces"].append({"name": "br101", "bridge": ["lan0"]})
    gateway = next(g for g in lab.document["subnets"][0]["gateways"] if g["router"] == recovery)
    gateway["interface"] = "br101"
    lab.save()
    with lab:
        client = lab.host("client", third)
        assert lab.answers(client, ADDRESS)
        before, links_before = lab.states(), links(recovery)
        plan = lab.json("plan", "--move", "app=recovery")
        assert [g["make"] for g in plan["groups"][0]["subnets"][0]["gateways"] if "make" in g] == ["bridge lan0"]
        for _ in range(2):
            lab.ferry("apply", "--move", "app=recovery", "--yes")
            assert ("lan0", "br101") in [entry[:2] for entry in links(recovery)]
            until("an answer", lambda: lab.answers(client, ADDRESS))
            lab.ferry("rollback", "--yes")
            assert lab.answers(client, ADDRESS)
            until("everything to be as it was", lambda: links(recovery) == links_before and not differences(before, lab.states()))
        lab.ferry("apply", "--move", "app=recovery", "--yes", "--confirm-within", "5s", rc=4)  # the dead-man could not make it again
        assert links(recovery) == links_before
