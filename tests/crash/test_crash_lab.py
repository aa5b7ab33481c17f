"""A sample of tests/campaign/crash-matrix and bad-days, and what needs no more than one run.

Which calls are hit is drawn anew each time, and said: CRASH_OFFSET=N repeats it.
"""
import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import crashlab  # noqa: E402
from baddays import Day, dark, meddle  # noqa: E402
from crashlab import FILES, fail, kill, race  # noqa: E402
from labtool import FERRY, namespaces, until  # noqa: E402

pytestmark = pytest.mark.skipif(crashlab.WHY_NOT is not None, reason=str(crashlab.WHY_NOT))

EVERY = 17
OFFSET = int(os.environ.get("CRASH_OFFSET") or random.randrange(EVERY))


@pytest.fixture(scope="module", name="bench")
def bench_fixture(tmp_path_factory):
    before = namespaces()
    with Day("three-site", tmp_path_factory.mktemp("crash")) as day:
        yield day
    assert namespaces() == before, "namespaces were left behind"


def sample(trial):
    """Every EVERY-th call until one is not reached."""
    endings = []
    for at in range(1 + OFFSET, 2000, EVERY):
        got = trial(at)
        if not got:
            return endings
        endings.append(got[-2] if isinstance(got[-1], bool) else got[-1])
    raise AssertionError("it never ends")


def test_killed_at_some_calls(bench):
    print(f"CRASH_OFFSET={OFFSET}")
    endings = sample(lambda at: kill(bench, "apply", at, again=1 + 7 * at % 60))
    assert len(endings) >= 4 and set(endings) <= {"not begun", "before", "after"}, endings


def test_killed_at_every_send(bench):
    """And in the middle of one: those are the calls by which the routers change."""
    endings = [kill(bench, "apply", at, how, ("send",), again=at)[1] for at, how in ((1, "before"), (4, "half"), (5, "before"), (9, "after"))]
    assert endings[:3] == ["before"] * 3 and endings[3] == "after", endings


def test_a_journal_has_its_name_when_it_is_whole(bench):
    """Killed at each call until its name is there."""
    path, tables, at = os.path.join(bench.state_dir, "journal.db"), set(), 0
    while not tables:
        at += 1
        assert bench.broken(*bench.prepare("apply")[0], kinds=FILES, at=at).rc == -signal.SIGKILL
        if os.path.exists(path):
            with contextlib.closing(sqlite3.connect(path)) as db:
                tables = {name for name, in db.execute("SELECT name FROM sqlite_master")}
                assert {"txn", "stage", "event", "hook", "override"} <= tables
    assert at > 10


def test_a_full_disk_at_some_calls(bench):
    print(f"CRASH_OFFSET={OFFSET}")
    endings = sample(lambda at: fail(bench, "apply", at, "enospc", FILES, stays=at % 2 == 0))
    assert len(endings) >= 3


def test_a_disk_that_fails_when_it_is_done(bench):
    """The last sync fails: moved and verified, but not durable.  Not exit 0; recover sees that it is done."""
    syncs = bench.broken(*bench.prepare("apply")[0], kinds=("sync",)).calls
    bench.home(*bench.judge("apply", None))
    broke, status, ending = fail(bench, "apply", len(syncs), "eio", ("sync",), stays=True)
    assert (broke.split()[0], status, ending) == ("sync", 6, "after")


def test_durable_before_the_first_send(bench):
    """Before anything is sent to a router the plan has survived a power cut, its directory's own name too; and nothing
    waits for the disk until the last one was sent."""
    calls = bench.broken(*bench.prepare("apply")[0], kinds=("write", "sync", "name", "open", "send")).calls
    bench.home(*bench.judge("apply", None))
    lines = [f"{kind} {what}" for _, kind, what in calls]
    sends = [i for i, line in enumerate(lines) if line.startswith("send")]
    state, parent = os.path.basename(bench.state_dir), os.path.basename(bench.directory)
    before = lines[:sends[0]]
    assert f"sync {parent}" in before[before.index(f"open {state}"):], "the state directory's name was not synced"
    last = max(i for i, line in enumerate(before) if line.startswith("write journal.db "))
    ends = [before.index(line, last) for line in ("sync journal.db", "name journal.db-journal", f"sync {state}")]
    assert ends == sorted(ends)
    assert not [line for line in lines[sends[0]:sends[-1]] if not line.startswith("send")]
    after = lines[sends[-1]:]
    assert after.index("name journal.db-journal") < len(after) - 1 - after[::-1].index(f"sync {state}")


@pytest.mark.parametrize("apart", [False, True], ids=["one-directory", "two-directories"])
def test_two_controllers_at_once(bench, apart):
    endings = [race(bench, apart) for _ in range(3)]
    assert all(low == 0 and high in (0, 3, 8) for low, high in endings), endings


def test_a_claimed_router_is_left_alone(bench):
    """By a controller that shares nothing with the one that has it but the routers."""
    bench.fresh()
    other = dict(bench.env, FERRY_STATE_DIR=bench.state_dir + "-2")
    with subprocess.Popen([FERRY, "drill", *bench.move, "--hold", "60s", "--yes"], env=other, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:
        try:
            until("the whole move", lambda: bench.states() == bench.after)
            bench.watch()
            refused = bench.ferry("apply", "--move", "app=primary", "--yes", rc=8)
            assert f"process {process.pid}" in refused.stderr
            assert bench.watch() == 0
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)
    assert bench.states() == bench.before
    bench.watch()


def test_dark_in_the_middle(bench):
    """The old site falls silent between detach and attach: the machine is served at the new one."""
    status, seen = dark(bench, bench.routers[0], 6)
    assert status == 0 and seen["sites"] == ["primary", "recovery"] and not seen["ends_lost"], seen


@pytest.mark.parametrize("router,what,at,ends", [(2, "deleted", 1, {6}), (1, "added-better", 4, {6}), (0, "unaddressed", 2, {5, 6}),
                                                 (1, "added", 6, {5})])
def test_somebody_else_writes(bench, router, what, at, ends):
    assert meddle(bench, bench.routers[router], what, at) in ends
