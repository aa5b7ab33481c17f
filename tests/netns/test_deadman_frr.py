"""The dead-man of routers over SSH: FRR static, FRR with BGP, and a mix of FRR, iproute and netlink, all at once.

Nobody confirms, and the controller's directory is taken away: running-config, frr.conf, RIB and kernel must come back.
"""
import contextlib
import json
import shutil
import time

import pytest

import labtool
from labtool import Lab, until

pytestmark = [pytest.mark.skipif(labtool.WHY_NOT is not None, reason=str(labtool.WHY_NOT)),
              pytest.mark.skipif(not shutil.which("vtysh", path="/usr/bin"), reason="FRR is not installed")]


def configurations(lab):
    """Of the FRR routers: what runs, and what would after a restart."""
    frr = [r["name"] for r in lab.document["routers"] if r["driver"]["type"] == "frr"]
    return {r: (lab.vtysh(r, "show running-config"), lab.enter(r, "cat", "/etc/frr/frr.conf").stdout) for r in frr}


def routes(lab):
    """Prefixes, metrics and next hops in all kernels; FRR numbers its nexthop objects anew."""
    found = {}
    for router, parts in lab.states().items():
        found[router] = [sorted(json.dumps({k: v for k, v in item.items() if k != "nhid"}, sort_keys=True) for item in json.loads(part))
                         for part in parts]
    return found


def holds(lab, before):
    return (configurations(lab), routes(lab)) == before


def test_nobody_confirms(tmp_path):
    names = ["three-site-frr", "three-site-bgp", "mixed"]
    with contextlib.ExitStack() as stack:
        labs = [stack.enter_context(Lab(name, tmp_path, tag)) for tag, name in zip(("ea", "eb", "ec"), names)]
        before = [(configurations(lab), routes(lab)) for lab in labs]
        for lab in labs:
            lab.state_dir = lab.env["FERRY_STATE_DIR"] = str(tmp_path / (lab.name + "-state"))
            lab.json("apply", "--move", "app=recovery", "--yes", "--confirm-within", "5s", rc=7)
        for lab in labs:
            shutil.move(lab.state_dir, lab.state_dir + ".gone")
        for lab, was in zip(labs, before):
            until(f"{lab.name} to come back", lambda lab=lab, was=was: time.sleep(0.5) or holds(lab, was), 120)
        for lab in labs:
            shutil.move(lab.state_dir + ".gone", lab.state_dir)
            assert lab.json("confirm", rc=5)["state"] == "undone"
        for lab, was in zip(labs, before):
            assert holds(lab, was), lab.name
