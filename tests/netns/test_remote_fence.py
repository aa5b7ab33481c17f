"""The claim of a router (drivers/remote/router/fence.sh) against a real sshd: what an older connection has left
there, or still has on its way, is not run once a newer one has claimed the router; and controllers of two
state directories keep apart.
"""
import json
import os
import signal
import subprocess

import pytest
import remotelab
from labtool import run, until
from remotelab import RemoteLab, Tool, alive, children, tool

pytestmark = pytest.mark.skipif(remotelab.WHY_NOT is not None, reason=str(remotelab.WHY_NOT))

WAYS = ["sent", "forced"]
ANSWERING = [["start", "answer"], ["send", "x"], ["expect", "got x"]]  # a process of the claim that surely runs


@pytest.fixture(scope="module", name="lab")
def make_lab():
    with RemoteLab() as lab:
        sent = lab.sshd(port=22)
        forced = lab.sshd(port=2201, wrapper=True, forced="/usr/local/sbin/ferry-router")
        lab.sshds = {"sent": sent, "forced": forced}
        lab.args = {"sent": sent.args(), "forced": forced.args()}
        yield lab


@pytest.fixture(name="state")
def make_state(tmp_path):
    def make(name):
        path = tmp_path / name
        path.mkdir(mode=0o700, exist_ok=True)
        return path
    return make


@pytest.fixture(autouse=True)
def unclaimed(lab, tmp_path):
    """What the test before has claimed is another controller's, and its for 3 s at least."""
    nobody = tmp_path / "nobody"
    nobody.mkdir(mode=0o700)
    for args in (lab.args["forced"], ["transport=local", f"netns={lab.server}"]):
        until("the router to be free", lambda args=args: results(tool(args, ["claim", nobody], ["release"])) == [("claim", "ok"), ("release", "ok")], 60,
              pause=0.3)


def take_over(args, directory):
    """Claims, and uses it.  A machine that is busy with other tests may not answer in time: then once more, as
    the engine would.
    """
    until("the claim", lambda: results(tool(args, ["claim", directory], ["call", "say", "x"])) == [("claim", "ok"), ("call", "ok")], 60)


def results(lines):
    return [(line["what"], line["result"]) for line in lines if "result" in line and line["what"] != "open"]


def is_sshd(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as f:
            return f.read().startswith("sshd")
    except OSError:
        return False


def late(lab, way, state, tmp_path, newer):
    """Sends a line to a verb that waits for one, and dies; but the router's sshd stands still, so that the line has
    come no further than its kernel, which waits as long as it takes.  (A network that is cut keeps it for less
    than the 5 s after which the client's kernel gives up.)  `newer`: meanwhile another connection claims the
    router.  Then sshd goes on, and the line arrives.  Was it heeded?
    """
    mark = tmp_path / "late"
    listener = lab.sshds[way].process.pid
    others = children(listener)
    old = Tool(lab.args[way], ["claim", state("a")], ["start", "late", mark], ["call", "say", "x"], ["wait"], ["send", "late"], ["wait"])
    while old.line()["what"] != "wait":
        pass
    session = [pid for pid in children(listener) if pid not in others]
    stopped = [pid for pid in session if is_sshd(pid)]
    assert stopped and stopped != session
    try:
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        old.go_on()
        while old.line()["what"] != "wait":
            pass
        old.process.kill()
        old.process.wait()
        if newer:
            take_over(lab.args[way], state("a"))
        assert not mark.exists(), "it came through"
        assert all(map(alive, stopped)), "the connection has ended: there would be nothing to be seen"
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    until("the line, and the end of what it was for", lambda: not any(map(alive, session)), 60)
    return mark.exists()


def test_two_state_directories(lab, state):
    args = lab.args["forced"]
    first = Tool(args, ["claim", state("a")], *ANSWERING, ["wait"], ["call", "say", "x"], ["kill"], ["release"], ["call", "say", "x"], ["wait"])
    while first.line()["what"] != "wait":
        pass
    held = tool(args, ["claim", state("b")])[-1]
    assert held["result"] == "locked" and "another Ferry is working on this router" in held["text"]
    # Who only looks is nobody's concern.
    assert results(tool(args, ["call", "say", "x"])) == [("call", "ok")]
    first.go_on()
    lines = []
    while not lines or lines[-1]["what"] != "wait":
        lines.append(first.line())
    assert [line["result"] for line in lines[:-1]] == ["ok"] * 4, lines
    assert results(tool(args, ["claim", state("b")], ["call", "say", "x"], ["release"])) == [("claim", "ok"), ("call", "ok"), ("release", "ok")]
    first.go_on()
    first.rest()
    owner = state("a") / "controller"
    assert len(owner.read_text().strip()) == 16 and owner.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("way", WAYS)
def test_what_comes_late_is_not_run(lab, way, state, tmp_path):
    assert not late(lab, way, state, tmp_path, newer=True)


def test_without_a_newer_claim_it_is_run(lab, state, tmp_path):
    """Else the test above could not fail."""
    assert late(lab, "forced", state, tmp_path, newer=False)


@pytest.mark.parametrize("way", WAYS + ["local"])
def test_what_runs_ends_before_the_newer_claim_counts(lab, way, state, tmp_path):
    args = lab.args[way] if way != "local" else ["transport=local", f"netns={lab.server}"]
    mark = tmp_path / "child"
    later = tmp_path / "later"
    old = Tool(args + ["timeout=120000"], ["claim", state("a")], ["start", "late", tmp_path / "kept"], ["call", "child", mark, 60],
               ["call", "touch_sleep", later, 0])
    until("the verb", lambda: mark.exists() and mark.read_text().strip(), 60)
    child = int(mark.read_text())
    assert alive(child)
    take_over(args, state("a"))
    assert not alive(child), "what it had started still runs"
    # The older one hears that it was cut off, and that its next command was not run.
    assert results(old.rest()[:-1]) == [("claim", "ok"), ("start", "ok"), ("call", "unknown"), ("call", "io")]
    assert not later.exists()


def test_another_state_directory_once_the_first_is_gone(lab, state, tmp_path):
    args = lab.args["forced"]
    first = Tool(args, ["claim", state("a")], *ANSWERING, ["wait"])
    while first.line()["what"] != "wait":
        pass
    first.process.kill()
    first.process.wait()
    until("the other one", lambda: tool(args, ["claim", state("b")])[-1]["result"] == "ok", 60)


def test_a_router_without_the_means(lab, state, tmp_path):
    """No flock there: said, and done without."""
    private = "mount --bind {0} {1} && exec \"$@\"".format(tmp_path / "none", "/usr/bin/flock")
    (tmp_path / "none").write_text("")
    (tmp_path / "none").chmod(0o644)
    before = ["unshare", "-m", "sh", "-c", private, "sh"]
    process = subprocess.run(before + [remotelab.TOOL, "transport=local", f"netns={lab.server}", "--", "claim", str(state("a")), "--",
                                       "call", "say", "x", "--", "call", "claim", "aaaa", "bbbb"], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in process.stdout.splitlines()]
    assert results(lines) == [("claim", "ok"), ("call", "ok"), ("call", "ok")], lines
    assert lines[-2]["out"] == "unfenced it has no flock\n"


def test_a_claim_from_before_a_restart_is_none(lab, state):
    """Where the claims' place outlives one (/tmp, not root), what stands there is of a clock that has begun anew."""
    run("ip", "netns", "exec", lab.server, "sh", "-c",
        "net=$(readlink /proc/self/ns/net); net=${net#*[}; echo 0123456789abcdef 0123456789abcdef 4000000000 >/run/ferry-router/${net%]}/claim")
    assert results(tool(lab.args["forced"], ["claim", state("b")], ["release"])) == [("claim", "ok"), ("release", "ok")]
