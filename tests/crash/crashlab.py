"""The real program broken at its n-th write, sync, rename, open or netlink send, on a lab's real kernels.

A Bench is a lab, the move that is made in it, what its routers hold before and after, and an ear on their
kernels: after every trial each event is replayed, and no state may loop or have two sites.  The trials run
one verb under a breaker (breaker.c, preloaded), then `recover`, and hold the program's word against routers
and journal.

Used by test_crash_lab.py, tests/campaign/crash-matrix and tests/campaign/bad-days.
"""
import contextlib
import glob
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "scenario"), os.path.join(HERE, "..", "netns")]
import labtool  # noqa: E402
from events import Monitor, World  # noqa: E402
from labtool import FERRY, Lab, differences, ip  # noqa: E402

# topology: the moves, the client, the addresses it asks for.
MOVES = {
    "three-site": ["app=recovery"],
    "dual-stack": ["app4=recovery", "app6=recovery"],
    "two-gateways": ["app=recovery"],
    "three-site-iproute": ["app=recovery"],
}
FILES = ("write", "sync", "name", "open")
ALL = (*FILES, "send", "announce")
KILLS = ("before", "after", "half")
ERRORS = ("enospc", "eio", "short", "eintr", "lost")


def find_breaker():
    beside = os.path.join(os.path.dirname(FERRY), "..", "..", "tests", "crash", "libbreaker.so") if FERRY else ""
    return os.environ.get("BREAKER") or (os.path.realpath(beside) if os.path.exists(beside) else None)


BREAKER = find_breaker()
WHY_NOT = labtool.WHY_NOT or (None if BREAKER else "libbreaker.so is not built")


def preload():
    """A sanitizer's library wants to be the first one."""
    linked = subprocess.run(["ldd", FERRY], capture_output=True, text=True, check=True).stdout.split()
    return ":".join([word for word in linked if word.startswith("/") and "san.so" in word] + [BREAKER])


class Done:
    """One run of the program."""

    def __init__(self, argv, process, out, err, log):
        self.argv, self.rc, self.out, self.err = argv, process.returncode, out, err
        self.calls = [line.split(" ", 2) for line in log]  # [number, kind, what]
        self.broke = next((line.split(" ", 1)[1].removesuffix(" fired") for line in log if line.endswith(" fired")), None)

    @property
    def killed(self):
        return self.rc == -signal.SIGKILL

    def json(self):
        return json.loads(self.out)

    def __str__(self):
        return f"{' '.join(self.argv)}: exit {self.rc}, broken at: {self.broke}\n{self.out}{self.err}"


class Bench(Lab):
    """`with` builds the lab and learns what the routers hold before and after the move."""

    def __init__(self, name, directory, tag="c"):
        super().__init__(name, directory, tag)
        self.topology = name
        self.move = [word for move in MOVES[name] for word in ("--move", move)]
        self.runs = self.events = 0
        self.v6 = any(":" in s["prefix"] for s in self.document["subnets"])
        self.log = os.path.join(self.directory, "breaker.log")
        self.preload = preload()

    def __enter__(self):
        try:
            self.up()
            self.monitor = Monitor(self, self.directory)
            self.monitor.__enter__()
            moved = {move.split("=")[0] for move in MOVES[self.topology]}
            self.worlds = [World(self, s) for s in self.document["subnets"] if s["name"] in moved]
            self.before = self.states()
            self.ferry("apply", *self.move, "--yes")
            self.after = self.states()
            self.ferry("rollback", "--yes")
            assert self.watch() > 0 and not differences(self.before, self.states())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *arguments):
        if hasattr(self, "monitor"):
            self.monitor.__exit__()
        super().__exit__(*arguments)

    def again(self):
        """Down and up: after a trial that has gone wrong."""
        self.__exit__()
        self.fresh()
        self.__enter__()

    # ---- The routers ----

    def states(self):
        """As labtool's, with nexthop objects, and all routers at once.  IPv6 routes where IPv6 is moved."""
        parts = []
        for router in self.routers:
            for family, what in [("-4", "addr show\nnexthop show\n")] + [("-6", "")] * self.v6:
                process = subprocess.Popen(["ip", "-n", router, "-d", "-j", family, "-b", "-"], text=True,
                                           stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                process.stdin.write("route show table all\nrule show\n" + what)
                process.stdin.close()
                parts.append((router, process))
        states = {router: [] for router in self.routers}
        for router, process in parts:
            states[router] += process.stdout.read().splitlines()
            process.stdout.close()
            assert process.wait() == 0, router
        return states

    def watch(self, meddled=False):
        """Replays what the kernels did since the last look; how many events were about what is moved.  Where somebody
        else has written too (`meddled`) a loop may be his."""
        n = 0
        for router, line in self.monitor.events():
            for world in self.worlds:
                if world.replay(router, line):
                    n += 1
                    world.one_site() if meddled else world.walk()
        self.events += n
        return n

    # ---- The program ----

    def fresh(self):
        """A state directory that nobody has seen."""
        shutil.rmtree(self.state_dir, ignore_errors=True)

    def start(self, *argv, kinds=ALL, at=0, how="before", stays=False, state_dir=None):
        """Starts the program under the breaker."""
        env = dict(self.env, LD_PRELOAD=self.preload, BREAKER_PROGRAM="ferry", BREAKER_KINDS=",".join(kinds),
                   BREAKER_AT=str(at), BREAKER_HOW=how, BREAKER_LOG=self.log)
        env.update({"BREAKER_STAYS": "1"} if stays else {})
        env.update({"FERRY_STATE_DIR": state_dir} if state_dir else {})
        if os.path.exists(self.log):
            os.unlink(self.log)
        return subprocess.Popen([FERRY, *argv], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def end(self, process):
        out, err = process.communicate(timeout=120)
        self.runs += 1
        log = []
        if os.path.exists(self.log):
            with open(self.log, encoding="utf-8") as f:
                log = f.read().splitlines()
        return Done(process.args[1:], process, out, err, log)

    def broken(self, *argv, **how):
        return self.end(self.start(*argv, **how))

    def newest(self):
        """The newest transaction of the journal, or None."""
        if not os.path.exists(os.path.join(self.state_dir, "journal.db")):
            return None
        with contextlib.closing(sqlite3.connect(os.path.join(self.state_dir, "journal.db"))) as db:
            db.row_factory = sqlite3.Row
            return db.execute("SELECT id, kind, state FROM txn ORDER BY seq DESC").fetchone()

    def digest(self):
        """Of all that the state directory holds, but for the lock's text."""
        h = hashlib.sha256()
        for path in sorted(glob.glob(os.path.join(self.state_dir, "**"), recursive=True)):
            if os.path.isfile(path) and os.path.basename(path) != "lock":
                with open(path, "rb") as f:
                    h.update(path.encode() + b"\0" + f.read())
        return h.hexdigest()

    # ---- What a verb starts from, and what it may lead to ----

    def prepare(self, verb):
        """Brings routers and journal to where the verb starts.  Returns (its words, the newest transaction's id)."""
        self.fresh()
        if verb == "rollback":
            self.ferry("apply", *self.move, "--yes")
            return ["rollback", "--yes", "--json"], self.newest()["id"]
        if verb == "confirm":
            self.ferry("apply", *self.move, "--yes", "--confirm-within", "1h", rc=7)
            return ["confirm", "--json"], self.newest()["id"]
        more = {"apply": [], "drill": ["--hold", "0s"], "window": ["--confirm-within", "1h"]}[verb]
        return ["drill" if verb == "drill" else "apply", *self.move, *more, "--yes", "--json"], None

    def judge(self, verb, older):
        """What the journal tells, after holding it against the routers: "not begun", "before", "after" (of the verb),
        "awaits"; and what the routers hold."""
        newest, now = self.newest(), self.states()
        if newest is None:
            ending, held = "not begun", self.before
        else:
            ending = {"committed": "after", "undone": "before", "awaiting-confirm": "awaits"}.get(newest["state"])
            assert ending, f"the journal says {newest['state']}"
            moved = (ending != "before") != (newest["kind"] == "rollback")
            held = self.after if moved else self.before
            if newest["id"] == older and verb == "rollback":
                ending = "not begun"
            assert not (newest["kind"] == "drill" and ending != "before"), "a drill was kept"
        assert held == now, f"the journal says {newest and dict(newest)}, but:\n{differences(held, now)}"
        return ending, now

    def home(self, ending, now):
        """Back to the state before, by the verbs that a person would use."""
        if ending == "awaits" or now != self.before:
            self.ferry("rollback", "--yes")
            now = self.states()
        assert now == self.before, differences(self.before, now)
        self.watch()

    def recovered(self, verb, older, rc=(0, 7)):
        """`recover`, and once more, which must change nothing.  Returns what judge does."""
        self.ferry("recover", "--yes", rc=rc)
        self.watch()
        (ending, now), digest = self.judge(verb, older), self.digest()
        again = self.ferry("recover", "--yes", "--json", rc=rc)
        assert again.returncode == 7 or json.loads(again.stdout).get("nothing_to_do"), again.stdout
        assert self.watch() == 0, "a second recover changed a router"
        assert self.digest() == digest, "a second recover changed the journal"
        return ending, now


# ---- The trials.  Each returns None where the break was not reached, which must then have been a clean run. ----

def kill(bench, verb, at, how="before", kinds=ALL, again=0):
    """Killed at the `at`-th call; `recover` killed at its `again`-th.  Returns (what broke, ending, recovery was
    killed).
    """
    words, older = bench.prepare(verb)
    bench.watch()
    done = bench.broken(*words, kinds=kinds, at=at, how=how)
    bench.watch()
    if not done.broke:
        assert done.rc in (0, 7), done
        bench.home(*bench.judge(verb, older))
        return None
    assert done.killed, done
    second = bench.broken("recover", "--yes", kinds=kinds, at=again, how=how) if again else None
    bench.watch()
    assert not second or second.killed == bool(second.broke), second
    ending, now = bench.recovered(verb, older)
    bench.home(ending, now)
    return done.broke, ending, bool(second and second.killed)


def differing(bench, start):
    now = bench.states()
    return [r for r in bench.routers if now[r] != start[r]]


def fail(bench, verb, at, how, kinds=ALL, stays=False):
    """The `at`-th call fails (`stays`: and all after it).  Returns (what broke, exit status, ending)."""
    words, older = bench.prepare(verb)
    start = bench.after if older else bench.before
    bench.watch()
    done = bench.broken(*words, kinds=kinds, at=at, how=how, stays=stays)
    events = bench.watch()
    if not done.broke:
        assert done.rc in (0, 7), done
        bench.home(*bench.judge(verb, older))
        return None
    if done.rc in (0, 7):
        ending, _ = bench.judge(verb, older)
        assert ending == ("before" if verb == "drill" else "awaits" if done.rc == 7 else "after"), done
    elif done.rc in (1, 4):
        assert events == 0 and not differing(bench, start), done
    elif done.rc == 5:
        assert bench.judge(verb, older)[0] == "before", done
    else:
        assert done.rc == 6, done
        truth(bench, done, start)
    ending, now = bench.recovered(verb, older)
    bench.home(ending, now)
    return done.broke, done.rc, ending


def truth(bench, done, start):
    """Exit 6: stuck, and every router that differs is named; or the journal was not written, and `recover` is named."""
    said = done.json()
    if said.get("state") == "stuck":
        named = {hand["router"] for hand in said["needs_hand"]}
        assert set(differing(bench, start)) <= named, done
    else:
        assert "recover" in done.out + done.err, done


def race(bench, apart):
    """Two controllers apply the same move at the same moment, on one state directory or (`apart`) on two.
    Returns their exit statuses, the lower one first.
    """
    bench.fresh()
    directories = [bench.state_dir, bench.state_dir + "-2"] if apart else [bench.state_dir] * 2
    shutil.rmtree(directories[-1], ignore_errors=True)
    bench.watch()
    processes = [bench.start("apply", *bench.move, "--yes", "--json", kinds=(), state_dir=d) for d in directories]
    dones = [bench.end(process) for process in processes]
    events = bench.watch()
    dones.sort(key=lambda done: done.rc)
    told = "".join(map(str, dones))
    won = [done for done in dones if done.rc == 0 and "nothing_to_do" not in done.json()]
    assert len(won) <= 1, told
    held = bench.after if won or any(done.rc == 0 for done in dones) else bench.before
    if any(done.rc == 6 for done in dones):
        raise AssertionError(f"a person is needed: {told}")
    assert not differences(held, bench.states()), told + differences(held, bench.states())
    if not apart:
        assert len(won) == 1, told
        assert dones[1].rc in (8, 3) or "nothing_to_do" in dones[1].out + dones[0].out, told
    del events
    for directory in set(directories):
        if bench.states() == bench.after and won:
            done = bench.broken("rollback", "--yes", kinds=(), state_dir=directory)
            assert done.rc in (0, 4), done
    assert not differences(bench.before, bench.states())
    bench.watch()
    return dones[0].rc, dones[1].rc
