"""A site dies on real kernels, silently; the third site is served at recovery; the primary returns as it was,
under a stream of 1,000 echoes a second; and everything is as after a planned move.
"""
import contextlib
import os
import re
import signal
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "netns"))
import labtool  # noqa: E402
from labtool import Lab, differences, ip, namespaces, until  # noqa: E402
from test_move_lab import assert_clean_outages, echoes  # noqa: E402

pytestmark = pytest.mark.skipif(labtool.WHY_NOT is not None, reason=str(labtool.WHY_NOT))

ADDRESS = "192.168.1.10"
PRIMARY = "edge-primary"


@pytest.fixture(autouse=True)
def clean():
    before = namespaces()
    yield
    assert namespaces() == before, "namespaces were left behind"


class Cut:
    """A router that is there for nobody: it forwards nothing, carriers stay, and the controller cannot reach it."""

    def __init__(self, lab, router, directory):
        self.netns, self.keep, self.is_cut = lab.router(router), str(directory / ("netns-" + router)), False

    def cut(self):
        ip("-n", self.netns, "rule", "add", "pref", "0", "blackhole")
        with open(self.keep, "w", encoding="ascii"):
            pass
        path = os.path.join("/run/netns", self.netns)
        for argv in (("mount", "--bind", path, self.keep), ("umount", path)):
            assert labtool.run(*argv).returncode == 0, argv
        self.is_cut = True

    def back(self):
        if not self.is_cut:
            return
        path = os.path.join("/run/netns", self.netns)
        for argv in (("mount", "--bind", self.keep, path), ("umount", self.keep)):
            assert labtool.run(*argv).returncode == 0, argv
        self.is_cut = False
        ip("-n", self.netns, "rule", "del", "pref", "0", "blackhole")


@contextlib.contextmanager
def cut_off(lab, router, directory):
    cut = Cut(lab, router, directory)
    cut.cut()
    try:
        yield cut
    finally:
        cut.back()


class Stream:
    """1,000 echo requests a second from a client."""

    def __init__(self, netns):
        self.process = subprocess.Popen(["ip", "netns", "exec", netns, "ping", "-q", "-i", "0.001", "-W", "1", ADDRESS],
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def end(self):
        self.process.send_signal(signal.SIGINT)
        text = self.process.communicate(timeout=10)[0]
        sent, received = map(int, re.search(r"(\d+) packets transmitted, (\d+) received", text).groups())
        odd = re.findall(r"\+(\d+) (errors|duplicates)", text)
        return sent, sent - received, odd


def test_primary_dies_and_returns(tmp_path):
    with Lab("three-site", tmp_path, tag="d") as lab:
        at_primary, at_recovery = lab.host("app-1", PRIMARY), lab.host("app-1", "edge-recovery")
        client = lab.host("client", "edge-third")
        lab.ferry("apply", "--move", "app=recovery", "--yes")
        planned = lab.states()
        lab.ferry("rollback", "--yes")
        before, loops = lab.states(), lab.loops()
        assert lab.answers(client, ADDRESS)

        with cut_off(lab, PRIMARY, tmp_path) as cut:
            assert not lab.answers(client, ADDRESS), "the cut does not cut"
            lab.ferry("apply", "--move", "app=recovery", "--yes", rc=4)
            done = lab.json("apply", "--mode", "disaster", "--move", "app=recovery", "--yes")
            assert done["state"] == "committed"
            assert lab.answers(client, ADDRESS)
            heard = echoes(lab, at_primary)
            stream = Stream(client)
            try:
                first = echoes(lab, at_recovery)
                until("the stream", lambda: echoes(lab, at_recovery) > first + 200)
                cut.back()  # with its old gateway, and its old routes
                status = lab.json("status", "--detailed-exitcode", rc=2)
                assert status["subnets"][0]["drift"][0]["what"] == "two sites"
                assert [d["router"] for d in status["debts"]] == [lab.router(PRIMARY)]
                lab.ferry("apply", "--failback", "--yes", rc=4)
                report = lab.json("reconcile", "--yes")
                assert [t["state"] for t in report["transactions"]] == ["committed"] * 2 and not report["debts"]
                second = echoes(lab, at_recovery)
                until("the stream", lambda: echoes(lab, at_recovery) > second + 200)
            finally:
                sent, lost, odd = stream.end()
        assert sent > 500 and lost <= 1 and not odd, (sent, lost, odd)  # the last one may be on its way
        assert echoes(lab, at_primary) == heard, "packets got to the site that was lost"
        assert lab.loops() == loops
        assert lab.json("status", "--detailed-exitcode")["differences"] is False
        assert not differences(planned, lab.states()), "not as after a planned move"

        home = lab.json("apply", "--failback", "--yes", "--probe", ADDRESS)
        assert home["state"] == "committed"
        assert_clean_outages(home, [ADDRESS])
        assert lab.answers(client, ADDRESS) and echoes(lab, at_primary) > heard
        assert len(before) == 3


def test_third_site_is_left_out(tmp_path):
    """It does not answer the controller, but forwards as of old: it loses its own traffic at most, and is told
    later.
    """
    with Lab("three-site", tmp_path, tag="d") as lab:
        text = open(lab.file, encoding="utf-8").read()
        name = f'"name": "{lab.router("edge-third")}",'
        with open(lab.file, "w", encoding="utf-8") as f:
            f.write(text.replace(name, name + ' "policy": "best-effort",', 1))
        client, loops = lab.host("client", "edge-third"), lab.loops()
        with cut_off(lab, "edge-third", tmp_path):
            done = lab.json("apply", "--move", "app=recovery", "--yes")
            assert done["state"] == "committed"
            assert [d["router"] for d in lab.json("status")["debts"]] == [lab.router("edge-third")]
        assert lab.answers(client, ADDRESS), "its old way leads through primary, which knows the new one"
        lab.ferry("reconcile", "--yes")
        assert lab.answers(client, ADDRESS) and lab.loops() == loops
        assert lab.json("status", "--detailed-exitcode")["differences"] is False
