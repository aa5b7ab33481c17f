"""A whole move to a gateway on a VLAN subinterface that is not there yet, in a lab on a kernel that has them: the machine at the
recovery site is behind the trunk, in VLAN 101.  By netlink, then by the words of ip, in one lab.  SPDX-License-Identifier: MIT
"""
import json
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "netns"))
import labtool  # noqa: E402
from labtool import Lab, differences, ip, until  # noqa: E402

pytestmark = pytest.mark.skipif(labtool.WHY_NOT is not None, reason=str(labtool.WHY_NOT))

ADDRESS = "192.168.1.10"


def lines(netns, text):
    done = labtool.run("ip", "-n", netns, "-batch", "-", input=text)
    assert done.returncode == 0, done.stderr


def links(router):
    return json.loads(ip("-n", router, "-d", "-j", "link", "show"))


def move_there_and_back(lab, recovery, client):
    before, links_before = lab.states(), links(recovery)
    plan = lab.json("plan", "--move", "app=recovery")
    assert [g["make"] for g in plan["groups"][0]["subnets"][0]["gateways"] if "make" in g] == ["vlan lan0 101"]
    lab.ferry("apply", "--move", "app=recovery", "--yes")
    made = next(link for link in links(recovery) if link["ifname"] == "lan0.101")
    assert made["link"] == "lan0" and made["group"] == "210" and "UP" in made["flags"]
    assert made["linkinfo"]["info_kind"] == "vlan" and made["linkinfo"]["info_data"]["id"] == 101
    assert lab.json("status")["subnets"][0]["active"] == "recovery"
    until("an answer through the trunk", lambda: lab.answers(client, ADDRESS))
    lab.ferry("rollback", "--yes")
    assert lab.answers(client, ADDRESS)
    until("everything to be as it was", lambda: links(recovery) == links_before and not differences(before, lab.states()))


def test_a_vlan_comes_with_the_gateway_and_goes_with_the_rollback(tmp_path):
    lab = Lab("three-site", tmp_path)
    recovery, client = lab.router("edge-recovery"), lab.host("client", "edge-third")
    router = next(r for r in lab.document["routers"] if r["name"] == recovery)
    next(g for g in lab.document["subnets"][0]["gateways"] if g["router"] == recovery)["interface"] = "lan0.101"
    lab.save()
    with lab:
        lines(lab.host("app-1", "edge-recovery"), f"link add link eth0 name eth0.101 type vlan id 101\naddr flush dev eth0\n"
              f"link set eth0.101 up\naddr add {ADDRESS}/24 dev eth0.101\nroute add default via 192.168.1.1\n")
        assert lab.answers(client, ADDRESS)
        for driver in {"type": "netlink"}, {"type": "iproute", "transport": "local"}:
            router["driver"] = {**driver, "netns": recovery}
            lab.save()
            move_there_and_back(lab, recovery, client)
        lines(recovery, "link add link lan0 name lan0.101 up type vlan id 102\n")
        links_before = links(recovery)
        refused = lab.ferry("apply", "--move", "app=recovery", "--yes", rc=4)
        assert "lan0.101 is there already, as VLAN 102 of lan0, not as VLAN 101 of lan0" in refused.stderr
        assert links(recovery) == links_before
