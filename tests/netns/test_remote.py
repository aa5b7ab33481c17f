"""The transports of drivers/remote against a real sshd: calls, processes, bounds, what breaks in the middle.

tests/unit/remote_verbs.sh has the verbs.  "unknown" is -FERRY_EUNKNOWN, "io" is -FERRY_EIO."""
import os
import shutil
import signal
import subprocess
import time

import pytest
import remotelab
from labtool import until
from remotelab import HOST, RemoteLab, Tool, alive, tool

pytestmark = pytest.mark.skipif(remotelab.WHY_NOT is not None, reason=str(remotelab.WHY_NOT))

MIB = 1024 * 1024
WAYS = ["local", "sent", "forced", "in-path", "jump"]


@pytest.fixture(scope="module", name="lab")
def make_lab():
    with RemoteLab() as lab:
        sent = lab.sshd(port=22)
        forced = lab.sshd(port=2201, wrapper=True, forced="/usr/local/sbin/ferry-router")
        in_path = lab.sshd(port=2202, wrapper=True)
        both = os.path.join(lab.dir, "both")
        with open(both, "w", encoding="utf-8") as f:
            for server in (sent, forced):
                with open(server.known_hosts(), encoding="utf-8") as k:
                    f.write(k.read())
        lab.args = {"local": ["transport=local", f"netns={lab.server}"], "sent": sent.args(), "forced": forced.args(),
                    "in-path": in_path.args(), "jump": forced.args(jump=f"root@{HOST}", known_hosts=both)}
        yield lab


def one(args, *command, **options):
    """The last line of a single command."""
    return tool(args, command, **options)[-1]


@pytest.mark.parametrize("way", WAYS)
def test_calls(lab, way):
    lines = tool(lab.args[way], ["facts"], ["call", "say", "a", "b/c:d@e%f+g=h,i-j_k.l", "-"], ["call", "status", "3"],
                 ["call", "odd", "nothing"], ["call", "odd", "newlines"], ["call", "odd", "nul"], ["call", "odd", "escape"],
                 ["call", "odd", "prompt"], ["call", "odd", "end"], ["call", "odd", "early"], ["call", "odd", "begin"])
    assert [line["result"] for line in lines if "result" in line] == ["ok"] * 11
    facts = lines[1]
    assert facts["root"] == 1 and facts["installed"] == (way in ("forced", "in-path", "jump"))
    with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as f:
        assert facts["boot_id"] == f.read().strip()
    assert lines[2]["out"] == "a\nb/c:d@e%f+g=h,i-j_k.l\n-\n" and lines[2]["status"] == 0
    assert lines[3]["status"] == 3
    assert [line["out"] for line in lines[4:9]] == ["", "\n\n", "a\0b\0", "\033[2J\033]0;owned\a\r\b",
                                                   "router# \nrouter(config)# "]
    assert lines[9]["out"] == "x\nferry-end 0000000000000000 0\n" and lines[9]["status"] == 0
    assert lines[10]["status"] == 7, "a mark inside of the output was believed"
    assert lines[11]["out"].endswith("\nx")


@pytest.mark.parametrize("way", WAYS)
def test_both_streams_and_much_input(lab, way, tmp_path):
    kept = tmp_path / "kept"
    lines = tool(lab.args[way] + [f"zeros={3 * MIB}"], ["call", "back"], ["call", "keep", kept], ["zeros=0"],
                 ["call", "much", 5 * MIB])
    assert [line["result"] for line in lines] == ["ok"] * 4, lines
    assert lines[1]["n_out"] == 3 * MIB and set(lines[1]["out"]) == {"z"}
    assert kept.read_bytes() == b"z" * (3 * MIB)
    assert (lines[3]["n_out"], lines[3]["n_err"]) == (5 * MIB, 5 * MIB)


@pytest.mark.parametrize("way", WAYS)
def test_kept_processes(lab, way, tmp_path):
    whole = tmp_path / "whole"
    lines = tool(lab.args[way], ["start", "answer"], ["send", "one"], ["expect", "one\n"], ["call", "say", "between"],
                 ["send", "two\nthree"], ["expect", "two\n"], ["expect", "three\n"], ["send", "four"], ["finish"],
                 ["start", "whole", whole], ["call", "say", "meanwhile"], ["send", "x\n! whole"], ["finish"])
    assert [line["result"] for line in lines] == ["ok"] * 14, lines
    assert [lines[i]["out"] for i in (3, 4, 6, 7, 9)] == ["got ", "between\n", "got ", "got ", "got four\n"]
    assert lines[-1]["status"] == 0 and whole.read_text() == "x\n"


@pytest.mark.parametrize("way", ["local", "forced", "jump"])
def test_half_of_the_input_is_none(lab, way, tmp_path):
    kept, whole = tmp_path / "kept", tmp_path / "whole"
    lines = tool(lab.args[way], ["start", "whole", whole], ["send", "half"], ["finish"])
    assert lines[-1]["status"] == 1 and not whole.exists()
    lines = tool(lab.args[way], ["start", "whole", whole], ["send", "half"], ["kill"], ["call", "say", "x"])
    assert lines[-1]["result"] == "ok" and not whole.exists()
    if not shutil.which("strace"):
        pytest.skip("needs strace")
    # Killed while it sends (the 500th of more than a thousand times): what had come of the batch is not run.
    sends = "write,writev,send,sendto,sendmsg"
    cut = Tool(lab.args[way] + [f"zeros={80 * MIB}"], ["facts"], ["call", "keep", kept],
               before=["strace", "-qq", "-o", "/dev/null", "-e", f"trace={sends}", "-e", f"inject={sends}:signal=KILL:when=500"])
    said = cut.process.communicate(timeout=60)[0]
    assert cut.process.returncode == -signal.SIGKILL and '"open"' in said and '"call"' not in said
    time.sleep(0.5)  # nothing shall happen: there is nothing to poll for
    assert not kept.exists()


@pytest.mark.parametrize("way", ["local", "forced", "sent", "jump"])
@pytest.mark.parametrize("what", ["cut", "killed"])
def test_no_end_is_no_success(lab, way, what):
    assert one(lab.args[way], "call", "odd", what)["result"] == "unknown"


@pytest.mark.parametrize("way", ["local", "forced", "jump"])
@pytest.mark.parametrize("stream", ["out", "err", "lines", "both"])
def test_floods_are_bounded(lab, way, stream):
    lines = tool(lab.args[way] + [f"most={MIB}"], ["call", "say", "x"], ["call", "flood", stream], ["call", "say", "after"])
    assert [line["result"] for line in lines] == ["ok", "ok", "unknown", "ok"], lines
    assert "more than 1048576 bytes" in lines[2]["text"]
    assert lines[2]["rss_kb"] < lines[1]["rss_kb"] + 12 * 1024


def test_a_gigabyte_is_bounded_by_default(lab):
    line = one(lab.args["forced"], "call", "flood", "lines")
    assert line["result"] == "unknown" and "bytes" in line["text"] and line["rss_kb"] < 600 * 1024


@pytest.mark.parametrize("way", ["local", "forced", "jump"])
def test_deadlines(lab, way, tmp_path):
    mark = tmp_path / "pid"
    lines = tool(lab.args[way] + ["timeout=3000"], ["call", "touch_sleep", mark, 90], ["call", "behind", 90],
                 ["start", "answer"], ["expect", "never"], ["kill"], ["call", "say", "after"])
    assert [line["result"] for line in lines] == ["ok", "unknown", "unknown", "ok", "unknown", "ok", "ok"], lines
    assert all(line["ms"] < 20000 for line in lines[1:])
    if way == "local":
        until("the end of what was given up", lambda: not alive(mark.read_text().strip()))


BAD = ["a\nb", "a b", "'", '"', ";", "$(id)", "`id`", "?", "!", "#", "\\", "a|b", "&", "*", "~", "", "-x", "\x7f", "\xe9", "x" * 5000,
       "x" * 256, "a\tb", "{a}", "[a]", "<", ">", "^"]


@pytest.mark.parametrize("way", ["local", "forced"])
def test_words_that_are_never_sent(lab, way, tmp_path):
    log = lab.servers[1]
    before = log.said().count("Starting session")
    lines = tool(lab.args[way], *[["call", "say", word] for word in BAD], *[["call", word] for word in BAD if word],
                 ["start", "keep", "a;b"], ["call", "say", "fine"])
    assert [line["result"] for line in lines] == ["ok"] + ["io"] * (len(lines) - 2) + ["ok"]
    assert all("nothing was sent" in line["text"] for line in lines[1:-1])
    if way == "forced":  # hello and the last one
        assert log.said().count("Starting session") == before + 2


def script(*argv, original=None):
    env = {"PATH": os.environ["PATH"]} | ({} if original is None else {"SSH_ORIGINAL_COMMAND": original})
    return subprocess.run([remotelab.ROUTER_SCRIPT, *argv], env=env, capture_output=True, check=False, stdin=subprocess.DEVNULL)


def test_words_that_the_script_refuses(tmp_path):
    mark = str(tmp_path / "ran")
    for word in BAD:
        for argv, original in [(["keep", mark, word], None), (["@12ab", "keep", mark, word], None), ([word, mark], None),
                               ([], f"keep {mark} $({word})"), ([], f"keep {mark};{word}"), ([], f"keep {mark}\n{word}")]:
            done = script(*argv, original=original)
            assert done.returncode == 64 and not done.stdout, (argv, original, done)
    for argv in (["say"] + ["x"] * 7, ["nosuch"], ["do_say"], ["ferry_refuse"], ["@xyz", "keep", mark], ["@12:9x", "keep", mark],
                 ["@", "keep", mark], ["@12:5", "keep", mark], []):
        done = script(*argv)
        assert done.returncode == 64 and not done.stdout, (argv, done)
    assert not os.path.exists(mark)
    assert script("keep", mark, original="say no").returncode == 0 and os.path.exists(mark), "the test above cannot fail"
    assert script(original=" ferry-router  say   a b ").stdout == b"a\nb\n"


def test_sshd_killed_in_the_middle(lab, tmp_path):
    server = lab.sshd(port=2210, wrapper=True, forced="/usr/local/sbin/ferry-router")
    mark = tmp_path / "pid"
    running = Tool(server.args(), ["call", "touch_sleep", mark, 30], ["call", "say", "x"])
    until("the verb", mark.exists)
    start = time.monotonic()
    server.kill_all()
    lines = running.rest()
    assert time.monotonic() - start < 10
    assert [line["result"] for line in lines[:3]] == ["ok", "unknown", "io"], lines
    server.start()
    assert one(server.args(), "call", "say", "x")["result"] == "ok"
    lab.stop(server)


@pytest.mark.parametrize("busy", ["waiting", "sending"])
def test_silent_cut_is_noticed_within_seconds(lab, tmp_path, busy):
    mark = tmp_path / "pid"
    if busy == "waiting":  # nothing of ours is on its way: keepalive finds out, long before the call's deadline
        running = Tool(lab.args["forced"] + ["timeout=60000"], ["call", "touch_sleep", mark, 60])
        until("the verb", mark.exists)
    else:
        running = Tool(lab.args["forced"] + ["timeout=60000"], ["start", "touch_sleep", mark], ["wait"], ["call", "say", "x"])
        while running.line()["what"] != "wait":
            pass
    start = time.monotonic()
    lab.cut()
    try:
        if busy == "sending":
            running.go_on()
        lines = running.rest()
    finally:
        lab.mend()
    assert 1 < time.monotonic() - start < 30
    # A channel that was never opened ran nothing.
    assert lines[-2]["result"] == ("unknown" if busy == "waiting" else "io"), lines


def test_a_call_is_one_round_trip(lab):
    """Against the same words without SSH, in the same minute: a round trip or a sleep too many would show."""
    calls = {}
    for way in ("local", "sent", "forced"):
        lines = tool(lab.args[way], ["call", "say", "x"], ["repeat", 50, "say", "x"])
        calls[way] = lines[2]["ms"] / 50
    assert max(calls["sent"], calls["forced"]) < 15 * calls["local"], calls
    kept = tool(lab.args["forced"], ["start", "answer"], *[["send", "x"], ["expect", "x\n"]] * 20)
    waits = sorted(line["ms"] for line in kept if line["what"] == "expect")
    assert waits[10] < calls["forced"], "a verb that is kept needs no start"
