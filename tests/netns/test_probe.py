"""The prober of `apply --probe`: what it measures is what happened.  Faults are put beside the move, during a drill's
hold, where no router's own routes are touched."""
import json
import os
import subprocess
import time

import labtool
import pytest
from labtool import FERRY, Lab, ip, until

# Milliseconds: how much earlier or later than it is the prober may see an end of an outage, for it has to be run.
LATE = 20 if os.environ.get("FERRY_TEST_FULL") else 1000

pytestmark = pytest.mark.skipif(labtool.WHY_NOT is not None, reason=str(labtool.WHY_NOT))


@pytest.fixture(name="lab")
def make_lab(tmp_path):
    with Lab("three-site", tmp_path, "probe") as lab:
        yield lab


def drill(lab, during, *argv, hold="5s"):
    """The outages of a drill, with something done while it holds."""
    process = subprocess.Popen([FERRY, "drill", "--move", "app=recovery", "--hold", hold, "--yes", "--json", *argv],
                               env=lab.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        recovery = lab.router("edge-recovery")
        until("the move", lambda: "192.168.1.1/24" in ip("-n", recovery, "addr", "show", "dev", "lan0"))
        time.sleep(0.2)  # the move itself is over, the hold is not
        during()
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, err
    return json.loads(out)["outage"]


def test_it_measures_an_outage(lab):
    """The protected machine is mute for two seconds."""
    host = lab.host("app-1", "edge-recovery")
    took = []

    def mute():
        start = time.monotonic()
        ip("-n", host, "rule", "add", "pref", "1", "blackhole")
        time.sleep(2)
        ip("-n", host, "rule", "del", "pref", "1")
        took.append((time.monotonic() - start) * 1000)

    outage, = drill(lab, mute, "--probe", "192.168.1.10")
    assert outage["vantage"] == lab.router("edge-third")
    assert 2000 - LATE <= outage["ms"] <= took[0] + LATE
    assert 150 <= outage["lost"] < outage["sent"], "one a millisecond, whenever it is run"
    assert outage["sent"] > 1500 and outage["duplicates"] == 0 and outage["ttl_exceeded"] == 0


def test_it_sees_a_loop(lab):
    """For a moment the new router sends packets back to the old one, by a rule beside its routes."""
    recovery = lab.router("edge-recovery")
    rule = ["pref", "1", "from", "192.168.3.1", "to", "192.168.1.10", "lookup", "4711"]

    def loop():
        ip("-n", recovery, "route", "add", "192.168.1.10", "via", "10.255.12.1", "table", "4711")
        ip("-n", recovery, "rule", "add", *rule)
        time.sleep(2)
        ip("-n", recovery, "rule", "del", *rule)
        ip("-n", recovery, "route", "flush", "table", "4711")

    outage, = drill(lab, loop, "--probe", "192.168.1.10")
    assert outage["ttl_exceeded"] >= 50 and outage["ms"] >= 2000 - LATE


def mute(lab, verb="add"):
    """The protected machine does not come up at the new site; or does ("del")."""
    ip("-n", lab.host("app-1", "edge-recovery"), "rule", verb, "pref", "1", "blackhole")


def test_it_says_that_an_outage_lasts(lab):
    mute(lab)
    done = lab.ferry("apply", "--move", "app=recovery", "--yes", "--probe", "192.168.1.10")
    assert "no answer since: at least " in done.stdout and "no answer since" in lab.ferry("show").stdout
    outage, = lab.json("show")["outage"]
    assert outage["ended"] is False and outage["ms"] >= 250
    assert lab.json("history")["transactions"][0]["outage"] == [outage] and "> " in lab.ferry("history").stdout
    mute(lab, "del")
    back, = lab.json("rollback", "--yes", "--probe", "192.168.1.10")["outage"]
    assert back["ended"] is True and "no answer" not in lab.ferry("show").stdout


@pytest.mark.parametrize("hold", ["0s", "300ms"])
def test_a_drill_without_an_answer_at_the_new_site_has_not_passed(lab, hold):
    argv = ["drill", "--move", "app=recovery", "--hold", hold, "--yes", "--probe", "192.168.1.10"]
    assert "drill passed" in lab.ferry(*argv).stdout
    mute(lab)
    done = lab.ferry(*argv, rc=5)
    assert "the drill has not passed" in done.stdout and "drill passed" not in done.stdout
    doc = lab.json(*argv, rc=5)
    assert doc["reason"] == f"the probe from {lab.router('edge-third')} had no answer at the new site"
    assert (doc["state"], doc["applied_verified"], doc["rolled_back_verified"]) == ("undone", True, True)
    assert doc["outage"][0]["ended"] is True, "it is home again"


def test_a_move_into_a_loop_is_no_success(lab):
    """The rules beside the routes of the new router stay: it sends packets back to the old one."""
    recovery = lab.router("edge-recovery")
    ip("-n", recovery, "route", "add", "192.168.1.10", "via", "10.255.12.1", "table", "4711")
    ip("-n", recovery, "rule", "add", "pref", "1", "from", "192.168.3.1", "to", "192.168.1.10", "lookup", "4711")
    done = lab.ferry("apply", "--move", "app=recovery", "--yes", "--probe", "192.168.1.10", rc=6)
    assert "packets loop" in done.stdout and "no answer since" in done.stdout and "committed and verified" not in done.stdout
    record = lab.json("show")
    outage, = record["outage"]
    assert record["state"] == "committed" and outage["ended"] is False and outage["ttl_exceeded"] > 0


def test_a_silent_target_is_refused_before_anything_is_written(lab):
    before = lab.states()
    error = lab.json("apply", "--move", "app=recovery", "--yes", "--probe", "192.168.1.77", rc=4)["error"]
    assert error["rule"] == "probe-before"
    assert error["message"] == f"probe: 192.168.1.77 does not answer from {lab.router('edge-third')} before the move (`--override-rule probe-before` goes on all the same)"
    assert lab.states() == before and lab.json("history")["transactions"] == []


def test_several_addresses_and_show(lab):
    doc = lab.json("apply", "--move", "app=recovery", "--yes", "--probe", "192.168.1.10", "--probe", "192.168.1.1")
    third = lab.router("edge-third")
    assert [o["vantage"] for o in doc["outage"]] == [f"{third} to 192.168.1.10", f"{third} to 192.168.1.1"]
    assert all(o["sent"] >= 100 and o["ttl_exceeded"] == 0 and o["duplicates"] == 0 for o in doc["outage"])
    assert lab.json("show")["outage"] == doc["outage"]
    assert f"outage seen from {third} to 192.168.1.10" in lab.ferry("show").stdout
    # A rollback is probed too, where the topology is given.
    back = lab.json("rollback", "--yes", "--probe", "192.168.1.10")
    assert back["outage"][0]["vantage"] == third


def test_ipv6(tmp_path):
    with Lab("dual-stack", tmp_path, "probes") as lab:
        doc = lab.json("apply", "--move", "app6=recovery", "--yes", "--probe", "2001:db8:1::10")
        outage, = doc["outage"]
        assert outage["sent"] >= 100 and outage["lost"] < outage["sent"] / 2 and outage["ttl_exceeded"] == 0
