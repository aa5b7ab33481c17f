"""DNS records as part of a move: planned, applied, read back at every server, undone exactly; with real BIND."""
import glob
import json
import os
import shutil

import pytest
from dnslab import FERRY, SECRET, Lab

pytestmark = [pytest.mark.skipif(not FERRY, reason="FERRY names no program"),
              pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
              pytest.mark.skipif(not all(map(shutil.which, ("named", "dig", "nsupdate"))), reason="needs bind9 and bind9-dnsutils")]

BEFORE = {"app.example.test": (3600, ["192.168.1.10"]), "web.example.test": (300, ["10.9.9.9", "192.168.1.20"]),
          "10.1.168.192.in-addr.arpa": (300, ["app.example.test."]), "20.1.168.192.in-addr.arpa": (300, ["web.example.test."]),
          "10.1.16.172.in-addr.arpa": None, "11.1.16.172.in-addr.arpa": None}
AFTER = {"app.example.test": (3600, ["172.16.1.10"]), "web.example.test": (300, ["10.9.9.9", "172.16.1.11"]),
         "10.1.168.192.in-addr.arpa": None, "20.1.168.192.in-addr.arpa": None,
         "10.1.16.172.in-addr.arpa": (300, ["app.example.test."]), "11.1.16.172.in-addr.arpa": (300, ["web.example.test."])}


@pytest.fixture(name="lab")
def make_lab(tmp_path):
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def changes(plan):
    return [c for stage in plan["stages"] for c in stage["changes"]]


def test_a_move_its_rollback_a_drill_and_the_failback(lab):
    """What is planned is what is done, at both servers; the undo brings every record and TTL back; the key is
    seen nowhere.
    """
    assert lab.everything() == BEFORE
    plan = lab.json("plan", "--network", "net1", "--out", "move.plan")
    assert [s["phase"] for s in plan["stages"]] == ["settle"] and not plan["groups"]
    assert {(c["router"], c["kind"], c["record"]) for c in changes(plan)} == {("ns1", "dns", "A"), ("ns1", "dns", "PTR")}
    app = next(c for c in changes(plan) if c["before"] and c["before"].get("data") == ["192.168.1.10"])
    assert app["before"] == {"type": "dns", "record": "A", "ttl": 3600, "data": ["192.168.1.10"]}
    assert app["after"] == {"type": "dns", "record": "A", "ttl": 3600, "data": ["172.16.1.10"]}
    assert any("TTL of 3600 s" in w for w in plan["warnings"])
    lab.run("prove", "move.plan")
    native = lab.run("plan", "--network", "net1", "--format", "native").stdout
    assert "update add app.example.test. 3600 A 172.16.1.10" in native and lab.path("key") in native
    lab.run("apply", "move.plan", "--yes")
    assert lab.everything() == AFTER
    shown = lab.json("show", lab.json("history")["transactions"][0]["id"])
    assert {c["outcome"] for stage in shown["stages"] for c in stage["changes"]} == {"done"}
    assert "app.example.test. A" in lab.run("show", shown["id"]).stdout
    lab.run("apply", "--network", "net1", "--yes")  # nothing to do
    assert lab.everything() == AFTER
    lab.run("rollback", "--yes")
    assert lab.everything() == BEFORE
    lab.run("drill", "--network", "net1", "--hold", "1s", "--yes")
    assert lab.everything() == BEFORE
    lab.run("apply", "--network", "net1", "--yes")
    lab.run("apply", "--failback", "--yes")
    assert lab.everything() == BEFORE
    for path in glob.glob(os.path.join(lab.state_dir, "**"), recursive=True) + [lab.path("move.plan")]:
        if os.path.isfile(path):
            with open(path, "rb") as f:
                assert SECRET.encode() not in f.read(), path


def test_the_ttl_is_lowered_ahead_and_restored_after(lab):
    """Two transactions of their own; nothing but the TTL of forward records changes, and only they know of it."""
    lab.run("apply", "--network", "net1", "--dns-ttl", "30s", "--yes")
    assert lab.both("app.example.test") == (30, ["192.168.1.10"]) and lab.both("web.example.test") == (30, ["10.9.9.9", "192.168.1.20"])
    plan = lab.json("plan", "--network", "net1")
    assert not any("TTL" in w for w in plan["warnings"])
    lab.run("apply", "--network", "net1", "--yes")
    assert lab.both("app.example.test") == (30, ["172.16.1.10"])
    done = lab.run("apply", "--network", "net1", "--dns-ttl", "restore", "--yes")
    assert "no TTL to go back to" in done.stdout + done.stderr  # web: the topology does not say
    assert lab.both("app.example.test") == (3600, ["172.16.1.10"]) and lab.both("web.example.test")[0] == 30
    lab.run("rollback", "--yes")
    assert lab.both("app.example.test") == (30, ["172.16.1.10"])


def test_a_stranger_between_plan_and_apply_is_drift(lab):
    """What is no longer as planned is refused, whole; a name that leads elsewhere is not planned at all."""
    lab.run("plan", "--network", "net1", "--out", "move.plan")
    lab.update("zone example.test\nupdate delete app.example.test A\nupdate add app.example.test 3600 A 10.66.66.66")
    done = lab.run("apply", "move.plan", "--yes", rc=3)
    assert "10.66.66.66" in done.stderr
    assert lab.dig("app.example.test") == (3600, ["10.66.66.66"]) and lab.dig("web.example.test") == BEFORE["web.example.test"]
    assert lab.error("plan", "--network", "net1", rc=4)["rule"] == "dns-record"


def test_servers_that_do_not_answer(lab):
    """A silent secondary refuses the move, for nobody could read it back; a silent primary too, unless it is
    left out by name.
    """
    lab.run("plan", "--network", "net1", "--out", "move.plan")
    lab.stop_named("127.0.0.2")
    assert lab.error("plan", "--network", "net1", rc=4)["rule"] == "dns-record"
    assert "127.0.0.2" in lab.run("apply", "move.plan", "--yes", rc=3).stderr
    assert lab.dig("app.example.test") == BEFORE["app.example.test"]
    lab.start_named("127.0.0.2")
    lab.stop_named("127.0.0.1")
    assert lab.error("plan", "--network", "net1", rc=4)["rule"] == "name-server"
    assert lab.error("apply", "move.plan", "--yes", rc=4)["rule"] == "unreachable"
    plan = lab.json("plan", "--network", "net1", "--override", "name-server")
    assert not plan["stages"] and any("ns1" in w for w in plan["warnings"])


def test_records_that_were_left_out_follow_once_their_server_answers(lab):
    """The same command again: what the machines have by now is not given anew, but their names are led there."""
    lab.stop_named("127.0.0.1")
    lab.run("apply", "--network", "net1", "--override-rule", "name-server", "--yes")
    lab.start_named("127.0.0.1")
    assert lab.everything() == BEFORE
    plan = lab.json("plan", "--network", "net1")
    assert not plan.get("addresses") and {c["kind"] for c in changes(plan)} == {"dns"}
    lab.run("apply", "--network", "net1", "--yes")
    assert lab.everything() == AFTER
    assert lab.run("apply", "--network", "net1", "--yes").stdout.startswith("Nothing to do")


def test_a_key_that_is_refused_writes_nothing(lab):
    """The check asks with the key before anything is begun."""
    lab.write("key", f'key "ferry" {{ algorithm hmac-sha384; secret "{SECRET}"; }};\n', 0o600)
    done = lab.run("plan", "--network", "net1", rc=4)
    assert "hmac-sha384" in done.stderr and SECRET not in done.stderr
    lab.write("key", f'key "ferry" {{ algorithm hmac-sha256; secret "{SECRET[::-1][1:]}A="; }};\n'.replace("==", "="), 0o600)
    assert lab.run("plan", "--network", "net1", rc=4)
    assert lab.everything() == BEFORE


def test_a_failing_stage_takes_the_records_and_the_routes_back(lab):
    """A mixed plan: app's subnet moves to the recovery site and web is re-addressed; the name server refuses one
    record.
    """
    def mixed(document):
        document["vm-networks"] += [
            {"name": "kept1", "logical-network": "log1", "server": "vmm1", "subnets": [{"name": "k", "prefix": "192.168.1.0/24"}]},
            {"name": "kept2", "logical-network": "log2", "server": "vmm2", "subnets": [{"name": "k", "prefix": "192.168.1.0/24"}]}]
        document["mappings"].append({"source": "kept1", "target": "kept2"})
    lab.edit(mixed)
    status = lab.json("status")
    plan = lab.json("plan", "--network", "kept1", "--network", "net1", "--out", "mixed.plan")
    phases = [s["phase"] for s in plan["stages"]]
    assert phases == sorted(phases, key=["prepare", "detach", "attach", "settle"].index) and "attach" in phases
    kinds = [{c["kind"] for c in s["changes"]} for s in plan["stages"]]
    assert kinds[phases.index("settle")] == {"dns"}  # behind the attachment, before what else settles
    assert [g["subnets"][0]["name"] for g in plan["groups"]] == ["app"]
    lab.stop_named("127.0.0.1")
    conf = lab.path("127.0.0.1.conf")
    with open(conf, encoding="utf-8") as f:
        text = f.read()
    with open(conf, "w", encoding="utf-8") as f:  # everything but web may be changed
        f.write(text.replace("allow-update { key ferry; }", "update-policy { deny ferry name web.example.test. ANY; grant ferry zonesub ANY; }"))
    lab.start_named("127.0.0.1")
    done = lab.run("apply", "mixed.plan", "--yes", rc=5)
    assert "web.example.test. A" in done.stdout + done.stderr
    assert lab.everything() == BEFORE
    assert lab.json("status")["subnets"] == status["subnets"]


def test_a_secondary_that_dies_in_the_middle_turns_the_move_back(lab):
    """The primary has changed, the secondary cannot be read: nobody is told that it is done, and the primary
    goes back.
    """
    hook = lab.path("hook")
    lab.write("hook", f"#!/bin/sh\nkill -9 {lab.named['127.0.0.2'].pid}\n", 0o755)
    lab.edit(lambda d: d.update({"hooks": {"before-settle": [{"run": [hook]}]}}))
    done = lab.run("apply", "--network", "net1", "--yes", rc=6)
    assert "127.0.0.2" in done.stdout + done.stderr
    assert lab.dig("app.example.test") == BEFORE["app.example.test"]
    assert lab.dig("10.1.16.172.in-addr.arpa", "PTR") is None
    lab.stop_named("127.0.0.2")
    lab.start_named("127.0.0.2")
    lab.run("recover")
    assert lab.everything() == BEFORE


def test_the_key_is_in_no_argument_and_in_no_plan(lab):
    """ferry runs nothing that is given the key; the documents name its file alone."""
    plan = json.dumps(lab.json("plan", "--network", "net1"))
    assert SECRET not in plan and lab.path("key") in plan
    traced = lab.path("trace")
    if shutil.which("strace"):
        lab.inside("strace", "-f", "-s", "400", "-e", "trace=execve", "-o", traced, FERRY, "apply", "--network", "net1", "--yes",
                   env=lab.env)
        with open(traced, encoding="utf-8", errors="replace") as f:
            text = f.read()
        assert "execve" in text and SECRET not in text
