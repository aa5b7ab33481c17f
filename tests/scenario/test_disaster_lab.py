"""A site dies on real kernels, silently; the third site is served at recovery; the primary returns as it was,
under a stream of 1,000 echoes a second; and everything is as after a planned move.
"""
import contextlib
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "netns"))
import labtool  # noqa: E402
from labtool import Lab, differences, ip, namespaces  # noqa: E402
from outages import Pings, moved  # noqa: E402
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
        # Lazily: who lists namespaces at this moment has them open.
        for argv in (("mount", "--bind", path, self.keep), ("umount", "-l", path)):
            assert labtool.run(*argv).returncode == 0, argv
        self.is_cut = True

    def back(self):
        if not self.is_cut:
            return
        path = os.path.join("/run/netns", self.netns)
        for argv in (("mount", "--bind", self.keep, path), ("umount", "-l", self.keep)):
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
            stream = Pings(client, ADDRESS, tmp_path / "pings")
            try:
                stream.begun()
                cut.back()  # with its old gateway, and its old routes
                status = lab.json("status", "--detailed-exitcode", rc=2)
                assert status["subnets"][0]["drift"][0]["what"] == "two sites"
                assert [d["router"] for d in status["debts"]] == [lab.router(PRIMARY)]
                lab.ferry("apply", "--failback", "--yes", rc=4)
                report = lab.json("reconcile", "--yes")
                assert [t["state"] for t in report["transactions"]] == ["committed"] * 2 and not report["debts"]
                assert stream.end() == 0 and "From " not in stream.text, stream.text[-1000:]
            finally:
                stream.stop()
        assert echoes(lab, at_primary) == heard, "packets got to the site that was lost"
        assert lab.loops() == loops
        assert lab.json("status", "--detailed-exitcode")["differences"] is False
        assert not differences(planned, lab.states()), "not as after a planned move"

        home, barrier = moved(lab, "apply", "--failback", "--yes", "--probe", ADDRESS)
        assert home["state"] == "committed"
        assert_clean_outages(home, barrier, [ADDRESS])
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
