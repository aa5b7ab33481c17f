"""ferryd on real kernels: what a foreign hand changes is noticed at once, whatever it was; deadlines outlive a
killed daemon; a router's namespace that goes and comes is found again.
"""
import json
import os
import subprocess
import sys
import time

import pytest

from labtool import WHY_NOT, Lab, differences, ip, until

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenario"))
from daemontool import FERRYD, Daemon  # noqa: E402  pylint: disable=wrong-import-position

pytestmark = pytest.mark.skipif(WHY_NOT is not None or not FERRYD, reason=WHY_NOT or "$FERRYD is not set")
LIMIT = 1.0 if os.environ.get("FERRY_TEST_FULL") else 30.0  # seconds; a busy machine is no fault of ours
PATIENT = ["--poll", "1h", "--readiness", "0s"]  # only what the kernel says leads to a read


@pytest.fixture(scope="module", name="lab")
def make_lab(tmp_path_factory):
    with Lab("three-site", tmp_path_factory.mktemp("daemon"), "d") as lab:
        lab.env["FERRY_SOCKET"] = os.path.join(lab.directory, "ferryd.sock")
        yield lab


def daemon(lab, directory, *options):
    d = Daemon(directory, lab.state_dir, lab.file, *(options or PATIENT))
    lab.env["FERRY_SOCKET"] = d.socket
    return d


def drift(d):
    return [(n["subnet"], n["router"], n["what"]) for n in d.ask("watch")["drift"]]


def noticed(d, what, since):
    """How long it took until STATUS= said it."""
    until(what, lambda: d.said(what, since), 30)
    return d.said(what, since)


def test_a_foreign_hand_is_noticed_at_once(lab, tmp_path):
    third, primary = lab.router("edge-third"), lab.router("edge-primary")
    route = json.loads(ip("-n", third, "-j", "route", "show", "192.168.1.0/24"))[0]
    with open(lab.file, encoding="utf-8") as f:
        assert '"netlink"' in f.read()
    back = ["route", "replace", "192.168.1.0/24", "via", route["gateway"], "dev", route["dev"], "metric",
            str(route["metric"]), "proto", "static"]
    hands = [  # what is done, what undoes it, what shall be said
        (third, ["route", "del", "192.168.1.0/24", "metric", str(route["metric"])], back, "does not deliver"),
        (third, ["route", "replace", "192.168.1.0/24", "via", "10.255.23.1", "dev", "to-recovery", "metric",
                 str(route["metric"])], back, "other path"),
        (third, ["route", "add", "blackhole", "192.168.1.0/24", "metric", "1"],
         ["route", "del", "blackhole", "192.168.1.0/24", "metric", "1"], "does not deliver"),
        (primary, ["address", "del", "192.168.1.1/24", "dev", "lan0"],
         ["address", "add", "192.168.1.1/24", "dev", "lan0"], "nowhere"),
        (third, ["link", "set", "to-primary", "down"], ["link", "set", "to-primary", "up"], "does not deliver"),
    ]
    with daemon(lab, tmp_path) as d:
        d.read_once()
        until("no drift", lambda: "no drift" in d.status())
        took = {}
        for router, do, undo, said in hands:
            since = len(d.messages)
            ip("-n", router, *do)
            began = time.monotonic()
            try:
                took[" ".join(do)] = noticed(d, said, since) - began
            finally:
                since = len(d.messages)
                ip("-n", router, *undo)
                if "link" in undo:
                    ip("-n", third, *back)  # the kernel has forgotten it with the link
            until("its end", lambda: d.said("no drift", since), 30)
        assert "drift is gone" in d.log()
        assert max(took.values()) < LIMIT, took
    print(f"noticed within {max(took.values()) * 1000:.0f} ms")


def test_a_burst_that_overruns_the_queue(lab, tmp_path):
    """More events than the socket holds: some are lost, the reading is not."""
    third = lab.router("edge-third")
    adds = "".join(f"route add 10.{64 + i // 65536}.{i // 256 % 256}.{i % 256}/32 via 10.255.13.1\n" for i in range(20000))
    with daemon(lab, tmp_path) as d:
        d.read_once()
        d.process.send_signal(19)  # SIGSTOP: it does not listen while they come
        since = len(d.messages)
        for text in (adds + "route add blackhole 192.168.1.0/24 metric 1\n",
                     adds.replace(" add ", " del ")):
            subprocess.run(["ip", "-n", third, "-batch", "-"], input=text, text=True, check=True, capture_output=True)
        d.process.send_signal(18)
        until("drift", lambda: d.said("does not deliver", since), 30)
        since = len(d.messages)
        ip("-n", third, "route", "del", "blackhole", "192.168.1.0/24", "metric", "1")
        until("its end", lambda: d.said("no drift", since), 30)


def test_own_moves_are_no_drift(lab, tmp_path):
    with daemon(lab, tmp_path, "--poll", "200ms", "--readiness", "0s") as d:
        d.read_once()
        for _ in range(3):
            lab.ferry("apply", "--move", "app=recovery", "--yes")
            lab.ferry("rollback", "--yes")
        lab.ferry("drill", "--move", "app=recovery", "--hold", "500ms", "--yes")
        until("quiet", lambda: "runs" not in d.status())
        assert "drift:" not in d.log() and "cannot" not in d.log(), d.log()
        document = lab.json("status", "--readiness")
        assert document["readiness"]["ready"] and document["readiness"]["subnets"][0]["moves"][0]["last_drill"]


def test_killed_while_a_deadline_runs(lab, tmp_path):
    before = lab.states()
    with daemon(lab, tmp_path) as d:
        d.read_once()
        tx = lab.json("apply", "--move", "app=recovery", "--yes", "--confirm-within", "10s", rc=7)["id"]
        until("it to be noticed", lambda: d.ask("watch")["unfinished"] == tx)
        d.kill()
        d.start()
        until("the undo", lambda: lab.json("show", tx)["state"] == "undone", 90)
        assert not differences(before, lab.states())
        until("word of it", lambda: f"transaction {tx} is undone" in d.log())  # said once the journal has it
        until("quiet", lambda: "no drift" in d.status() and "awaits" not in d.status())
        tx = lab.json("apply", "--move", "app=recovery", "--yes", "--confirm-within", "5m", rc=7)["id"]
        assert lab.json("confirm")["state"] == "committed" and f"confirm of {tx}" in d.log()
        lab.ferry("rollback", "--yes")
    assert not differences(before, lab.states())


def test_a_router_that_goes_and_comes(lab, tmp_path):
    """The namespace is taken away and made anew, as a router that boots: its old sockets would go on seeing the
    old one.
    """
    third = lab.router("edge-third")
    with daemon(lab, tmp_path, "--poll", "300ms", "--readiness", "0s") as d:
        d.read_once()
        ip("netns", "delete", third)
        until("it to be missed", lambda: d.ask("watch")["unreachable"] == [third])
        assert f"{third} cannot be read" in d.log()
        ip("netns", "add", third)
        until("it to be back", lambda: not d.ask("watch")["unreachable"])
        until("its emptiness", lambda: ("app", third, "does not deliver") in drift(d))
        assert f"{third} can be reached again" in d.log()
    (tmp_path / "again").mkdir()
    with daemon(lab, tmp_path / "again", "--poll", "1s", "--readiness", "0s") as d:
        d.read_once()
        ip("-n", third, "route", "add", "blackhole", "192.168.1.0/24")
        until("the blackhole", lambda: "blackhole" in json.dumps(d.ask("watch")["drift"]))
        ip("netns", "delete", third)  # and anew between two looks: perhaps it was never missed
        ip("netns", "add", third)
        until("its emptiness", lambda: "no route" in json.dumps(d.ask("watch")["drift"]))
        ip("-n", third, "link", "set", "lo", "up")
        ip("-n", third, "route", "add", "blackhole", "192.168.1.0/24")
        until("the new one's voice", lambda: "blackhole" in json.dumps(d.ask("watch")["drift"]))
    ip("netns", "delete", third)  # it is not the lab's any more
