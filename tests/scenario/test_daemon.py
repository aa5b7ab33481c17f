"""ferryd on simulated routers: life, signals, the control socket and who may use it, deadlines, recovery, readiness.

What it hears of kernels is in tests/netns/test_daemon_lab.py; the lines themselves are in tests/unit/test_wire.c.
"""
import contextlib
import grp
import json
import os
import pwd
import random
import shutil
import signal
import socket
import stat
import subprocess
import time

import pytest

from clitool import FERRY, Cli, World, open_directory
from daemontool import FERRYD, Daemon, until

pytestmark = pytest.mark.skipif(not FERRY or not FERRYD, reason="$FERRY or $FERRYD is not set")
BREAKER = os.path.join(os.path.dirname(FERRYD or ""), "..", "..", "tests", "crash", "libbreaker.so")
FULL = pytest.mark.skipif(not os.environ.get("FERRY_TEST_FULL"),
                          reason="waits long; FERRY_TEST_FULL=1; by default tests/netns/test_daemon_lab.py waits")
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")


def cli_with_socket(directory):
    cli = Cli(directory)
    cli.env["FERRY_SOCKET"] = cli.path("ferryd.sock")
    return cli


@pytest.fixture(name="cli")
def make_cli(tmp_path):
    return cli_with_socket(tmp_path)


@pytest.fixture(name="open_cli")
def make_open_cli():
    with open_directory() as directory:
        yield cli_with_socket(directory)


def daemon(cli, *options, **kwargs):
    return Daemon(cli.directory, cli.state_dir, cli.topology, "--poll", "200ms", "--readiness", "0s", *options, **kwargs)


def start(cli, window):
    return cli.json("apply", "--move", "app=recovery", "--yes", "--confirm-within", window, rc=7)["id"]


def state(cli, tx):
    return cli.json("show", tx)["state"]


# ---- Life ----


def test_it_says_how_it_is(cli):
    with daemon(cli) as d:
        until("a status", lambda: "3 routers, 2 subnets; no drift" in d.status())
        assert d.said("MAINPID=%d" % d.process.pid)
        assert stat.S_IMODE(os.stat(d.socket).st_mode) == 0o660
        d.stop()
        until("the end to be said", lambda: d.said("STOPPING=1"))
        assert not os.path.exists(d.socket)


def test_the_watchdog_is_fed(cli):
    with daemon(cli, env={"WATCHDOG_USEC": "400000"}) as d:
        until("three pings", lambda: sum("WATCHDOG=1" in m for _, m in d.messages) >= 3)


def test_a_second_one_is_refused(cli):
    with daemon(cli) as d:
        other = subprocess.run([FERRYD, "--state-dir", cli.state_dir, "--socket", d.socket + ".2"], env=d.env,
                               capture_output=True, text=True, check=False, timeout=30)
        assert other.returncode == 8 and str(d.process.pid) in other.stderr, other
        elsewhere = subprocess.run([FERRYD, "--state-dir", cli.path("other"), "--socket", d.socket], env=d.env,
                                   capture_output=True, text=True, check=False, timeout=30)
        assert elsewhere.returncode == 8 and "listens there" in elsewhere.stderr, elsewhere
        assert not os.path.exists(cli.path("other")), "it has made a journal all the same"
        assert d.ask("hello")["pid"] == d.process.pid
        d.kill()  # what it leaves is no obstacle
        d.start()


@pytest.mark.parametrize("how", ["removed", "replaced", "moved"])
def test_it_stops_where_its_state_directory_is_taken_away(cli, how):
    with daemon(cli) as d:
        d.read_once()
        if how == "replaced":  # as a restored backup does it: by the time it is seen, another file of that name is there
            with open(cli.path("lock"), "w", encoding="ascii"):
                pass
            os.rename(cli.path("lock"), os.path.join(cli.state_dir, "daemon.lock"))
        elif how == "moved":
            os.rename(cli.state_dir, cli.path("elsewhere"))
        else:
            shutil.rmtree(cli.state_dir)
        assert d.process.wait(timeout=60) == 1
        assert "daemon.lock was taken away" in d.log()
        until("it to be said", lambda: "daemon.lock was taken away" in d.status())
        assert how == "replaced" or not os.path.exists(cli.state_dir), "it has made another one"
        assert not os.path.exists(d.socket)


@pytest.mark.parametrize("argv, rc", [(["--nosuch"], 64), (["--poll", "5"], 64), (["--poll", "0s"], 64), (["word"], 64),
                                      (["--socket-mode", "9"], 64), (["--group", "no such group"], 64), (["-t", ""], 64),
                                      (["-t", "/nonexistent"], 65), (["--help"], 0), (["--version"], 0)])
def test_its_command_line(cli, argv, rc):
    done = subprocess.run([FERRYD, "--state-dir", cli.state_dir, "--socket", cli.path("s"), *argv], env=cli.env,
                          capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == rc, done
    assert (done.stdout if rc == 0 else done.stderr).strip()
    assert rc == 65 or not os.path.exists(cli.state_dir)
    assert argv[0] != "--group" or "--group: 'no such group'" in done.stderr


def test_a_reload(cli):
    with open(cli.topology, encoding="utf-8") as f:
        old = f.read()
    with daemon(cli) as d:
        before = d.ask("hello")["topology"]
        with open(cli.topology, "w", encoding="utf-8") as f:
            f.write(old.replace('"ferry"', '"fairy"'))
        seen = len(d.messages)
        d.process.send_signal(signal.SIGHUP)
        until("the complaint", lambda: "topology not reloaded" in d.status())
        assert d.ask("hello")["topology"] == before and "kept as it was" in d.log()
        until("the end of it", lambda: d.said("READY=1", seen))
        assert d.said("RELOADING=1", seen)
        assert d.ask("status")["subnets"], "the old one still serves"
        document = json.loads(old)
        document["subnets"] = document["subnets"][:1]
        with open(cli.topology, "w", encoding="utf-8") as f:
            json.dump(document, f)
        d.process.send_signal(signal.SIGHUP)
        until("the new one", lambda: d.ask("hello")["topology"]["sha256"] != before["sha256"])
        until("its status", lambda: d.status().startswith("3 routers, 1 subnets"))
        assert len(d.ask("status")["subnets"]) == 1


# ---- Side by side with the command line ----


def test_the_command_line_asks_it(cli):
    cli.run("status")  # works without
    with daemon(cli) as d:
        d.read_once()
        with_daemon = cli.json("status")
        assert with_daemon == cli.json("--no-daemon", "status")
        assert with_daemon == cli.json("status", env={"FERRY_NO_DAEMON": "1"})
        assert cli.run("status").stdout == cli.run("--no-daemon", "status").stdout
        assert cli.json("status", drop=("FERRY_TOPOLOGY",)) == with_daemon, "the daemon knows one"
        cli.run("--no-daemon", "status", drop=("FERRY_TOPOLOGY",), rc=64)
        assert cli.run("status", env={"FERRY_STATE_DIR": cli.path("elsewhere")}), "another state directory: not asked"
        assert not os.path.exists(cli.path("elsewhere"))
        other = cli.path("other.json")
        with open(cli.topology, encoding="utf-8") as f, open(other, "w", encoding="utf-8") as g:
            g.write(f.read().replace('"three-site"', '"another"'))
        assert cli.json("-t", other, "status")["topology"] == "another"
        cli.move("recovery")  # beside it: it holds no lock
        assert cli.active() == "recovery"
        cli.run("rollback", "--yes")
        tx = start(cli, "5m")
        until("it to be noticed", lambda: d.ask("watch")["unfinished"] == tx)
        until("its deadline", lambda: "awaits its confirmation" in d.status())
        done = cli.run("extend", tx, "10m")
        assert tx in done.stdout and f"extend by {pwd.getpwuid(os.geteuid()).pw_name}" in done.stderr
        document = cli.json("confirm")
        assert document["state"] == "committed" and document["stages"][0]["changes"][0]["outcome"] == "done"
        assert f"extend of {tx} by" in d.log() and f"confirm of {tx} by" in d.log(), "it was the daemon"
        assert cli.error("confirm", rc=4)["rule"] == "not-awaiting"
        cli.run("audit", "verify")
        said = [e for e in cli.json("audit")["entries"] if e.get("tx") == tx]
        assert {e["via"] for e in said if e["command"] in ("extend", "confirm")} == {"socket"}, said
        assert {e["via"] for e in said if e["command"] == "apply"} == {"process"}, said


def test_what_nobody_began_is_a_wrong_word(cli):
    """The same from the daemon and without it, with a journal and without."""
    other = "20260101-000000-0000"
    with daemon(cli) as d:
        for n, prepare in enumerate((lambda: None, lambda: cli.move("recovery")), 1):
            prepare()
            for argv in (("confirm", other), ("extend", other, "5m")):
                said = [cli.error(*how, *argv, rc=64)["message"] for how in ((), ("--no-daemon",))]
                assert said[0] == said[1] and f'there is no transaction "{other}"' in said[0]
                until("it to have been the daemon", lambda: d.log().count(f"{argv[0]} by") == n)
        assert cli.error("confirm", rc=4)["rule"] == "not-awaiting"


def test_a_text_confirm(cli):
    with daemon(cli):
        tx = start(cli, "5m")
        assert f"{tx}: confirmed: committed on every router" in cli.run("confirm", tx).stdout
        assert f"{tx}: confirmed" in cli.run("confirm", tx).stdout, "said twice"


def test_a_daemon_that_hangs_or_lies(cli):
    """What answers at the socket is not believed for what it is not; the command line then does it itself."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(cli.env["FERRY_SOCKET"])
        listener.listen()
        listener.settimeout(60)
        for answer in (b"", b"\n", b"{}\n", b'{"type": "result"}\n', b"[" * 100000 + b"\n", b"x" * 70000):
            process = cli.start("status", "--json")
            peer, _ = listener.accept()
            with contextlib.suppress(BrokenPipeError):  # it need not wait for the end of this
                peer.sendall(answer)
            peer.close()
            out, err = process.communicate(timeout=60)
            assert process.returncode == 0 and json.loads(out)["subnets"], (answer[:20], err)


# ---- The control socket ----

REQUEST = {"ferry": 1, "request": "hello"}


@pytest.mark.parametrize("line", [b"\n", b"{}\n", b"[]\n", b"null\n", b"\0\n", b"\xff\xfe\n", b"hello\n",
                                  b'{"ferry": 1}\n', b'{"ferry": 2, "request": "hello"}\n',
                                  b'{"ferry": 1, "request": "reboot"}\n', b'{"ferry": 1, "request": "hello", "x": 1}\n',
                                  b'{"ferry": 1, "request": "hello", "request": "hello"}\n',
                                  b'{"ferry": 1, "request": "confirm", "tx": "../../etc"}\n',
                                  b'{"ferry": 1, "request": "confirm", "tx": ""}\n',
                                  b'{"ferry": 1, "request": "extend", "tx": "2026", "seconds": 99999999}\n',
                                  b'{"ferry": 1, "request": "extend", "tx": "2026"}\n',
                                  b'{"ferry": 1, "request": "hello", "seconds": 1}\n', b"[" * 1000 + b"\n"])
def test_bad_requests_are_answered_and_let_go(shared, line):
    with shared.talk() as talk:
        talk.send(line)
        reply = talk.line()
        assert reply["type"] == "error" and reply["error"]["kind"] == "input", reply
        assert talk.line() is None, "who cannot speak is not listened to"


@pytest.fixture(scope="module", name="shared")
def make_shared(tmp_path_factory):
    cli = Cli(tmp_path_factory.mktemp("shared"))
    with daemon(cli) as d:
        yield d


def test_long_lines_and_floods_are_bounded(shared):
    with shared.talk() as talk:
        with pytest.raises(OSError):
            for _ in range(10000):
                talk.send(b"x" * 4096)
    with shared.talk() as talk:  # many in one go: answered in order
        talk.send((json.dumps(REQUEST) + "\n").encode() * 200)
        assert all(talk.line()["result"]["pid"] for _ in range(200))
    with open(f"/proc/{shared.process.pid}/status", encoding="ascii") as f:
        before = int(f.read().split("VmRSS:")[1].split()[0])
    with shared.talk() as talk:  # asks and never reads: what is kept for it is bounded
        talk.socket.setblocking(False)
        sent, end = 0, time.monotonic() + 0.5
        while time.monotonic() < end:
            try:
                sent += talk.socket.send((json.dumps(REQUEST) + "\n").encode() * 100)
            except BlockingIOError:
                time.sleep(0.01)
        assert sent < 10 << 20
    with open(f"/proc/{shared.process.pid}/status", encoding="ascii") as f:
        status = f.read()
    hoards = int(status.split("VmSize:")[1].split()[0]) > 1 << 30  # AddressSanitizer, with its terabytes of shadow, keeps what was freed
    assert int(status.split("VmRSS:")[1].split()[0]) < before + (400000 if hoards else 20000)
    assert shared.ask("hello")


def test_noise(shared):
    rng = random.Random(4)
    line = json.dumps(dict(REQUEST, request="extend", tx="20261120", seconds=60)).encode()
    for _ in range(300):
        data = bytearray(line)
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(len(data))
            data[at:at + rng.randint(0, 2)] = bytes(rng.randrange(256) for _ in range(rng.randint(0, 3)))
        with shared.talk() as talk:
            talk.send(bytes(data) + b"\n")
            reply = talk.line()
            assert reply is None or reply["type"] in ("error", "result"), data
    assert shared.ask("hello") and shared.process.poll() is None


def test_who_is_silent_is_let_go(cli):
    with daemon(cli, "--idle", "1s") as d, d.talk() as talk:
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for _ in range(300):  # a byte now and then does not help
                talk.send(b" ")
                time.sleep(0.1)


def test_places_are_bounded(shared):
    talks = [shared.talk() for _ in range(32)]
    try:
        assert talks[0].ask("hello")["type"] == "result"
        with shared.talk() as late:
            assert late.line()["error"]["kind"] == "locked" and late.line() is None
    finally:
        for talk in talks:
            talk.close()

    def place():
        with shared.talk() as talk, contextlib.suppress(OSError):  # it is let go while it asks
            return talk.ask("hello")["type"] == "result"
        return False

    until("a place", place)


AS = """
import json, socket, sys
s = socket.socket(socket.AF_UNIX)
try:
    s.connect(sys.argv[1])
except PermissionError:
    sys.exit("connect refused")
f = s.makefile()
for request in sys.argv[2:]:
    s.sendall((request + chr(10)).encode())
    while json.loads(line := f.readline())["type"] in ("alive", "progress"):
        pass
    print(line, end="")
"""


def as_user(*options, path, requests):
    """The replies that somebody else gets."""
    done = subprocess.run(["setpriv", *options, "/usr/bin/python3", "-c", AS, path, *map(json.dumps, requests)],
                          capture_output=True, text=True, check=False, timeout=30)
    return done.stderr.strip() if done.returncode else [json.loads(line) for line in done.stdout.splitlines()]


@ROOT_ONLY
@pytest.mark.parametrize("mode", ["0660", "0666"])
def test_root_and_the_group_may_write_others_not(open_cli, mode):
    group, nobody = grp.getgrnam("games"), pwd.getpwnam("nobody")
    requests = [REQUEST, dict(REQUEST, request="status"), dict(REQUEST, request="confirm")]
    with daemon(open_cli, "--group", "games", "--socket-mode", mode) as d:
        assert os.stat(d.socket).st_gid == group.gr_gid
        tx = start(open_cli, "5m")
        stranger = as_user(f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups", path=d.socket,
                           requests=requests)
        if mode == "0660":
            assert stranger == "connect refused"
        else:
            assert [r["type"] for r in stranger] == ["result", "result", "error"]
            assert stranger[2]["error"]["rule"] == "permission"
            assert "confirm by nobody: refused" in d.log()
        assert state(open_cli, tx) == "awaiting-confirm"
        member = as_user(f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", f"--groups={group.gr_gid}",
                         path=d.socket, requests=requests)
        assert [r["type"] for r in member] == ["result", "result", "result"]
        assert member[2]["result"]["state"] == "committed"
        assert f"confirm of {tx} by nobody: committed" in d.log()
        open_cli.run("rollback", "--yes")
        tx = start(open_cli, "5m")
        primary = as_user(f"--reuid={nobody.pw_uid}", f"--regid={group.gr_gid}", "--clear-groups", path=d.socket,
                          requests=requests[2:])
        assert not isinstance(primary, str), primary
        assert primary[0]["result"]["state"] == "committed"
    journal = subprocess.run(["sqlite3", os.path.join(open_cli.state_dir, "journal.db"), "SELECT text FROM event"],
                             capture_output=True, text=True, check=True).stdout
    assert "confirm by nobody" in journal


@ROOT_ONLY
def test_what_a_hook_printed_is_not_for_strangers(open_cli):
    with open(open_cli.topology, encoding="utf-8") as f:
        document = json.load(f)
    document["hooks"] = {"before-prepare": [{"run": ["/bin/sh", "-c", "echo word; exit 1"], "on-failure": "pause"}]}
    with open(open_cli.topology, "w", encoding="utf-8") as f:
        json.dump(document, f)
    nobody = pwd.getpwnam("nobody")
    requests = [dict(REQUEST, request="status")]
    with daemon(open_cli, "--socket-mode", "0666") as d:
        open_cli.run("apply", "--move", "app=recovery", "--yes", rc=7)
        stranger, = as_user(f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups", path=d.socket, requests=requests)
        owner, = as_user(path=d.socket, requests=requests)
    outputs = [r["result"]["unfinished"][0]["paused"]["hook"]["output"] for r in (stranger, owner)]
    assert outputs == [None, "word\n"]


# ---- Deadlines and recovery ----


@FULL
def test_a_deadline_is_seen_to(cli):
    with daemon(cli) as d:
        tx = start(cli, "5s")
        until("the undo", lambda: state(cli, tx) == "undone", 40)
        assert cli.active() == "primary"
        assert "no confirm came in time" in d.log() or "nobody" in d.log()
        assert cli.json("recover") == {"nothing_to_do": True}
        until("quiet", lambda: "no drift" in d.status() and "awaits" not in d.status())


@FULL
def test_killed_while_a_deadline_runs(cli):
    d = daemon(cli)
    with d:
        tx = start(cli, "5s")
        until("it to be noticed", lambda: d.ask("watch")["unfinished"] == tx)
        d.kill()
        assert state(cli, tx) == "awaiting-confirm"
        d.start()
        until("the undo", lambda: state(cli, tx) == "undone", 40)
        assert cli.active() == "primary"


@pytest.fixture(name="mortal")
def make_mortal(cli):
    """Its controller dies in the middle, between two stages."""
    cli.edit(lambda d: d.update(hooks={"before-detach": [{"run": ["/bin/sh", "-c", "kill -9 $PPID"], "undo": ["/bin/true"]}]}))
    return cli


def die_in_the_middle(cli):
    cli.run("apply", "--move", "app=recovery", "--yes", rc=-signal.SIGKILL)
    return cli.json("history")["transactions"][0]["id"]


@pytest.mark.parametrize("when", ["before", "while"])
def test_what_a_dead_controller_left_is_recovered(mortal, when):
    if when == "before":
        tx = die_in_the_middle(mortal)
    with daemon(mortal) as d:
        if when == "while":
            tx = die_in_the_middle(mortal)
        until("recovery", lambda: state(mortal, tx) in ("undone", "committed"))
        until("it to be said", lambda: f"transaction {tx} is" in d.log())
        until("quiet", lambda: "no drift" in d.status() and tx not in d.status())
        assert mortal.json("recover") == {"nothing_to_do": True}


def test_it_can_be_told_to_leave_it(mortal):
    cli, tx = mortal, die_in_the_middle(mortal)
    with daemon(cli, "--no-recover") as d:
        until("it to be noticed", lambda: d.ask("watch")["unfinished"] == tx)
        until("it to be said", lambda: f"{tx} has not ended" in d.status())
        assert state(cli, tx) not in ("undone", "committed")
    cli.run("recover")


def test_what_is_paused_is_left_to_people(cli):
    with daemon(cli) as d:
        d.read_once()
        tx = cli.json("apply", "--move", "app=recovery", "--yes", "--pause-before", "detach", rc=7)["id"]
        until("it to be said", lambda: f"{tx} is paused: a person is asked for" in d.status())
        assert cli.json("status") == cli.json("--no-daemon", "status")
        text = cli.run("status").stdout
        assert text == cli.run("--no-daemon", "status").stdout and f"ferry resume {tx}" in text
        d.stop()
        seen = len(d.messages)
        d.start()
        until("it to be said again", lambda: d.said(f"{tx} is paused", seen))
        assert state(cli, tx) == "paused" and "drift:" not in d.log()
        cli.run("resume", "--yes")
        until("its end", lambda: tx not in d.status() and "no drift" in d.status())
    assert cli.active() == "recovery"


# ---- Debts ----


def in_line(world):
    return world.json("status")["differences"] is False


@pytest.fixture(name="world")
def make_world(tmp_path):
    world = World(tmp_path)
    world.env["FERRY_SOCKET"] = str(tmp_path / "ferryd.sock")
    return world


def test_what_a_lost_router_owes_is_delivered_when_it_answers(world):
    world.lose("edge-primary")
    world.disaster()
    with daemon(world) as d:
        d.read_once()
        assert world.debts() == [("edge-primary", "app")]
        newest = world.json("history")["transactions"][0]["id"]
        moves = {m["to"]: m["rule"] for s in world.json("status", "--readiness")["readiness"]["subnets"] for m in s["moves"]}
        assert moves["primary"] == "unreachable"
        world.back("edge-primary")
        until("the debt to be delivered", lambda: not world.debts())
        until("all in line", lambda: in_line(world))
        done = world.json("history")["transactions"]
        assert [(t["kind"], t["state"]) for t in done[:2]] == [("reconcile", "committed")] * 2 and done[2]["id"] == newest
        until("it to be said", lambda: f"reconcile: transaction {done[0]['id']} is committed" in d.log())
        assert "cannot reconcile" not in d.log()
        assert world.app()["active"] == "recovery"
    world.run("audit", "verify")


def test_a_second_site_is_detached(world):
    world.lose("edge-primary")
    world.disaster()
    world.back("edge-primary")
    old = json.dumps(world.sim("edge-primary"))
    world.run("reconcile", "--yes")
    with daemon(world, "--no-reconcile") as d:
        d.read_once()
        world.sim_put("edge-primary", old)  # an old configuration is loaded: no debt speaks of it
        until("it to be noticed", lambda: "two sites" in d.status())
        d.read_once()
        assert len(world.app()["attached"]) == 2, "people were asked for"
    with daemon(world):
        until("it to let go", lambda: world.app()["attached"] == ["edge-recovery"])
        until("all in line", lambda: in_line(world))


def test_a_refused_reconciliation_is_said_once(world):
    """At two sites, and no transaction says where it belongs: a person is asked for."""
    world.move("recovery")
    os.unlink(os.path.join(world.state_dir, "journal.db"))
    os.unlink(world.sim_file("edge-primary"))  # it starts as at home, attached
    with daemon(world) as d:
        until("it to be said", lambda: "cannot reconcile: two-sites: app is attached" in d.log())
        time.sleep(1)  # some polls
        assert d.log().count("cannot reconcile") == 1
        assert len(world.app()["attached"]) == 2


def reconciliations(world):
    return [t["state"] for t in world.json("history")["transactions"] if t["kind"] == "reconcile"]


def test_a_delivery_that_fails_is_tried_less_and_less(world):
    """The router answers, and takes nothing: 1, 2, 4, 8 polls lie between the tries, and no poll is early.
    (tests/unit/test_rest.c has them up to 64.)
    """
    world.lose("edge-primary")
    world.disaster()
    world.back("edge-primary")
    os.mkdir(world.sim_file("edge-primary") + ".new")  # where its next state would be written
    poll, began = 0.1, time.monotonic()
    with daemon(world, "--poll", f"{int(poll * 1000)}ms") as d:
        for n, polls in ((3, 1 + 2), (4, 1 + 2 + 4)):
            until(f"try {n}", lambda: len(reconciliations(world)) >= n)
            assert time.monotonic() - began > polls * poll
        until("them to be undone", lambda: set(reconciliations(world)) == {"undone"})
        os.rmdir(world.sim_file("edge-primary") + ".new")
        until("the debt to be delivered", lambda: not world.debts())
        until("all in line", lambda: in_line(world))
        assert d.log().count("cannot reconcile") == 1, d.log()


def test_what_is_stuck_is_tried_again(world):
    """All routers answer all the while.  A foreign route stood in the undo's way; once somebody has taken it
    away, the daemon goes on.
    """
    script = world.path("meddle.py")
    with open(script, "w", encoding="utf-8") as f:
        f.write("import json, sys\n"
                "path = sys.argv[1]\n"
                "doc = json.load(open(path))\n"
                "text = json.dumps(doc)\n"
                "json.dump(doc, open(path + '.kept', 'w'))\n"
                "doc['routes'] = [r for r in doc['routes'] if r['prefix'] != '192.168.1.0/24']\n"
                "doc['routes'].append({'prefix': '192.168.1.0/24', 'type': 'unreachable', 'metric': 0, 'protocol': 'static'})\n"
                "json.dump(doc, open(path, 'w'))\n")
    foreign_hook = {"before-attach": [{"run": ["/usr/bin/python3", script, world.sim_file("edge-third")]}, {"run": ["/bin/false"]}]}
    with open(world.topology, encoding="utf-8") as f:
        document = json.load(f)
    document["hooks"] = foreign_hook
    with open(world.topology, "w", encoding="utf-8") as f:
        json.dump(document, f)
    stuck = world.json("apply", "--move", "app=recovery", "--yes", rc=6)
    assert stuck["state"] == "stuck" and {h["router"] for h in stuck["needs_hand"]} >= {"edge-third"}
    with daemon(world, "--poll", "100ms") as d:
        until("its first try", lambda: f"transaction {stuck['id']} is stuck" in d.log())
        tries = len(world.json("audit", "--tx", stuck["id"])["entries"])
        until("another try", lambda: len(world.json("audit", "--tx", stuck["id"])["entries"]) > tries)
        until("that one to end", lambda: state(world, stuck["id"]) == "stuck")  # it is undoing for a moment each time
        os.replace(world.sim_file("edge-third") + ".kept", world.sim_file("edge-third"))
        until("it to be undone", lambda: state(world, stuck["id"]) == "undone")
        assert d.log().count(f"transaction {stuck['id']} is stuck") >= 1 and "came back" not in d.log()
    assert world.app()["active"] == "primary" and in_line(world)


def test_what_another_topology_left_is_let_be(world):
    """Same names, another network: the debt is not its own, and the daemon does not run in circles over it."""
    world.lose("edge-primary")
    world.disaster()
    world.back("edge-primary")
    os.unlink(world.sim_file("edge-primary"))
    with open(world.topology, encoding="utf-8") as f:
        text = f.read()
    with open(world.topology, "w", encoding="utf-8") as f:
        f.write(text.replace('"three-site"', '"another"').replace('"home": "primary"', '"home": "recovery"'))
    with daemon(world, "--poll", "1h") as d:
        d.read_once()
        until("it not to read the routers all the time", lambda: d.ask("watch")["read"] == (time.sleep(2.5), d.ask("watch")["read"])[1])
        assert world.debts() == [("edge-primary", "app")]
    world.run("audit", "verify")


def told_to_die(world, n):
    """ferryd, which dies at its n-th write; False: it had nothing more to write."""
    log = world.path(f"breaker.{n}")
    env = {"LD_PRELOAD": BREAKER, "BREAKER_KINDS": "write,sync,name,open", "BREAKER_AT": str(n), "BREAKER_HOW": "before",
           "BREAKER_LOG": log, "BREAKER_PROGRAM": "ferryd"}
    argv = [FERRYD, "-t", world.topology, "--state-dir", world.state_dir, "--socket", world.env["FERRY_SOCKET"], "--poll",
            "200ms", "--readiness", "0s"]
    with subprocess.Popen(argv, env=dict(world.env, **env), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until("its death, or its work", lambda: process.poll() is not None or in_line(world))
        finally:
            process.kill()
    with open(log, encoding="ascii", errors="replace") as f:
        return "fired" in f.read()


@pytest.mark.skipif(not os.path.exists(BREAKER), reason=f"{BREAKER} is not built")
def test_killed_at_its_writes_while_it_delivers(world):
    """Somebody reads all the while.  The new site is never cut off, and what is called delivered was."""
    world.lose("edge-primary")
    world.disaster()
    world.back("edge-primary")
    shutil.copytree(world.state_dir, world.path("before"))
    step, n = (1, 1) if os.environ.get("FERRY_TEST_FULL") else (45, 20)
    while told_to_die(world, n):
        assert n < 2000, "it writes for ever"
        assert "edge-recovery" in world.best("edge-third")["end"]
        assert world.debts() or world.app()["attached"] == ["edge-recovery"]
        world.run("audit", "verify")
        with daemon(world):
            until("all in line", lambda: in_line(world))
        world.run("audit", "verify")
        assert {t["state"] for t in world.json("history")["transactions"] if t["kind"] == "reconcile"} <= {"committed", "undone"}
        shutil.rmtree(world.state_dir)
        shutil.copytree(world.path("before"), world.state_dir)
        n += step
    assert n > 200, "it wrote less than that?"


# ---- Drift and readiness ----


def break_app(document):
    """The third site's route to app goes."""
    for table in [v for v in document.values() if isinstance(v, list)]:
        table[:] = [e for e in table if "192.168.1.0/24" not in json.dumps(e)]


def test_drift_is_noticed_and_forgotten(cli):
    cli.move("recovery")  # every router has a file then
    with daemon(cli) as d:
        d.read_once()
        whole = json.dumps(cli.sim("edge-third"))
        cli.sim_edit("edge-third", break_app)
        drift = until("drift", lambda: d.ask("watch")["drift"])
        assert [(n["subnet"], n["router"], n["what"]) for n in drift] == [("app", "edge-third", "does not deliver")]
        until("it to be said", lambda: "drift (1): app: edge-third: does not deliver" in d.status())
        since = drift[0]["since"]
        ready = cli.json("status", "--readiness", "--detailed-exitcode", rc=2)["readiness"]
        assert {s["name"]: [(m["to"], m["ready"], m["rule"]) for m in s["moves"]] for s in ready["subnets"]} == {
            "app": [("primary", False, "drift")], "db": [("recovery", True, None)]}
        assert "edge-third" in cli.run("status", "--readiness").stdout
        assert d.ask("watch")["drift"][0]["since"] == since
        cli.sim_put("edge-third", whole)
        until("its end", lambda: not d.ask("watch")["drift"])
        assert "drift is gone: app: edge-third" in d.log()


def test_readiness_knows_drills_and_unfinished_moves(cli):
    def moves(**kwargs):
        document = cli.json("status", "--readiness", **kwargs)["readiness"]
        return document["ready"], {s["name"]: s["moves"][0] for s in document["subnets"]}

    ready, by = moves()
    assert ready and by["app"]["stages"] == 4 and by["app"]["last_drill"] is None and by["app"]["to"] == "recovery"
    cli.run("drill", "--move", "app=recovery", "--yes")
    drill = cli.json("history")["transactions"][0]
    ready, by = moves()
    assert ready and by["app"]["last_drill"] == drill["ended"] and by["app"]["drill"] == drill["id"]
    assert by["db"]["last_drill"] is None
    with daemon(cli, "--readiness", "200ms") as d:
        assert moves() == (ready, by), "the daemon says the same"
        until("ready", lambda: d.status().endswith("; ready"))
        with open(os.path.join(cli.state_dir, "sim", "edge-third.json"), "w", encoding="utf-8") as f:
            f.write("{")  # it cannot be read any more
        until("not ready", lambda: d.status().endswith("NOT ready"))
        ready, by = moves()
        assert not ready and by["app"]["rule"] == "unreachable" and "edge-third" in by["app"]["why"]
        assert "not ready: app to recovery: unreachable: edge-third" in d.log()
        os.unlink(os.path.join(cli.state_dir, "sim", "edge-third.json"))
        until("ready again", lambda: d.status().endswith("; ready"))
    tx = start(cli, "5m")
    ready, by = moves()
    assert not ready and by["db"]["rule"] == "unfinished" and tx in by["db"]["why"]
    cli.run("status", "--detailed-exitcode", rc=2)


# ---- The unit ----


def test_the_unit_is_one():
    unit = os.path.join(os.path.dirname(FERRYD), "ferryd.service")
    with open(unit, encoding="utf-8") as f:
        text = f.read()
    for line in ("Type=notify", "ProtectSystem=strict", "NoNewPrivileges=yes", "MemoryDenyWriteExecute=yes",
                 "CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW", "StateDirectory=ferry", "RuntimeDirectory=ferry",
                 "WatchdogSec=30"):
        assert line + "\n" in text, line
    assert "@" not in text.replace("@system-service", "").replace("@privileged", "").replace("@chown", "")


def test_systemd_takes_the_unit(tmp_path):
    unit = os.path.join(os.path.dirname(FERRYD), "ferryd.service")
    copy = tmp_path / "ferryd.service"
    with open(unit, encoding="utf-8") as f:
        lines = [f"ExecStart={FERRYD} -t /etc/ferry/site.json" if line.startswith("ExecStart=") else line
                 for line in f.read().splitlines()]
    copy.write_text("\n".join(lines) + "\n", encoding="utf-8")
    try:
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True,
                              check=False, timeout=60)
    except FileNotFoundError:
        pytest.skip("systemd-analyze is not installed")
    said = [line for line in done.stderr.splitlines() if "ferryd" in line]
    if done.returncode and not said:
        pytest.skip(f"systemd-analyze cannot work here: {done.stderr.strip()[:200]}")
    assert done.returncode == 0 and not said, done.stderr
