"""The dead-man on real kernels: the script alone (the record, the race, the timer), and labs whose controller is
gone.

Three labs are moved at once with a window of ten seconds, because what they wait for is the clock: one
expires, one has its controller killed in the middle, one has IPv6.  Each must be byte for byte as before, and
never at two sites.
"""
import concurrent.futures
import contextlib
import glob
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenario"))
import labtool  # noqa: E402
from events import Monitor  # noqa: E402
from labtool import FERRY, RECORDS, Lab, differences, ip, run, until  # noqa: E402

pytestmark = pytest.mark.skipif(labtool.WHY_NOT is not None, reason=str(labtool.WHY_NOT))

SCRIPT = os.path.join(os.path.dirname(FERRY or ""), "..", "..", "drivers", "ferry-router")
RACES = 200 if os.environ.get("FERRY_TEST_FULL") else 40


# ---- The script alone, in a namespace of its own. ----

class Router:
    """A namespace with a directory of records."""

    def __init__(self, directory):
        self.netns = f"ferry-deadman-{os.getpid()}"
        self.env = dict(os.environ, FERRY_DEADMAN_DIR=os.path.join(str(directory), "records"))
        ip("netns", "add", self.netns)
        ip("-n", self.netns, "link", "set", "lo", "up")

    def start(self, verb, *words):
        return subprocess.Popen(["ip", "netns", "exec", self.netns, "sh", SCRIPT, "deadman_" + verb, *map(str, words)],
                                env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True)

    def say(self, verb, *words, steps="", rc=0):
        process = self.start(verb, *words)
        out, err = process.communicate(steps, timeout=30)
        assert process.returncode == rc, f"{verb}: {out}{err}"
        return out.strip() or err.strip()

    def arm(self, router, tx, seconds, prefix, rc=0):
        """The undo takes a blackhole away that is there now, and one that is not."""
        ip("-n", self.netns, "route", "replace", "blackhole", prefix)
        return self.say("arm", router, tx, seconds, rc=rc, steps=f"@step 0 ip 2 -\nroute del blackhole {prefix}\n"
                        f"route del blackhole 10.254.0.0/16\n@step 1 ip 1 -\nroute replace blackhole {prefix} metric 9\n@end\n")

    def routes(self, prefix):
        return ip("-n", self.netns, "route", "show", prefix).split("\n")[0].strip()

    def deadline(self, router, tx):
        """Of an armed record, in seconds of uptime(); 0 where it is armed no more."""
        with open(os.path.join(self.record(router, tx), "state"), encoding="ascii") as f:
            words = f.read().split()
        return int(words[2]) / 100 if words[0] == "armed" else 0

    def record(self, router, tx):
        return glob.glob(os.path.join(self.env["FERRY_DEADMAN_DIR"], router + "@*", tx))[0]

    def edit(self, router, tx, change):
        path = os.path.join(self.record(router, tx), "state")
        with open(path, encoding="ascii") as f:
            text = f.read()
        with open(path, "w", encoding="ascii") as f:
            f.write(change(text))

    def timers(self):
        done = run("pgrep", "-f", self.env["FERRY_DEADMAN_DIR"])
        return [int(pid) for pid in done.stdout.split()]

    def kill_timers(self):
        for pid in self.timers():
            try:
                os.killpg(pid, signal.SIGKILL)
            except ProcessLookupError:  # a subshell of one: no leader of a group, or over
                pass
        until("the timers to die", lambda: not self.timers())

    def close(self):
        self.kill_timers()
        ip("netns", "del", self.netns, check=False)


@pytest.fixture(name="router")
def make_router(tmp_path):
    router = Router(tmp_path)
    yield router
    router.close()


def uptime():
    with open("/proc/uptime", encoding="ascii") as f:
        return float(f.read().split()[0])


def armed(answer, most):
    """It is, for so many seconds; or for less of them, however long it took to be asked."""
    word, seconds = answer.split()
    return word == "armed" and most - 60 < int(seconds) <= most


def test_an_arming_that_was_cut_off_blocks_nobody(router):
    """Killed before the record had its name: it looks armed, but no timer runs, and it is gone with the next arming."""
    router.arm("r", "t1", 3600, "10.1.0.0/16")
    record = router.record("r", "t1")
    router.kill_timers()
    os.rename(record, record + ".new")
    assert "t1" not in run("sh", SCRIPT, "deadman_boot", env=router.env).stdout
    assert not router.timers(), "a restart would have undone what was never armed"
    assert router.arm("r", "t2", 60, "10.2.0.0/16").startswith("armed")
    assert not os.path.exists(record + ".new")


def test_it_is_armed_extended_and_fires(router):
    assert router.say("look", "r", "t1") == "none"
    assert armed(router.arm("r", "t1", 5, "10.1.0.0/16"), 5)
    first = router.deadline("r", "t1")
    assert armed(router.say("extend", "r", "t1", 600), 600)
    assert "is armed on this router" in router.arm("r", "t2", 60, "10.2.0.0/16", rc=1)
    time.sleep(max(0, first + 0.2 - uptime()))
    assert armed(router.say("look", "r", "t1"), 600)
    assert router.routes("10.1.0.0/16") == "blackhole 10.1.0.0/16"
    router.say("extend", "r", "t1", 1)
    until("the undo", lambda: router.say("look", "r", "t1") == "fired undone")
    assert router.routes("10.1.0.0/16") == "blackhole 10.1.0.0/16 metric 9"
    for verb, more in (("confirm", ()), ("extend", (60,)), ("disarm", ()), ("look", ())):
        assert router.say(verb, "r", "t1", *more) == "fired undone"
    assert armed(router.arm("r", "t2", 60, "10.2.0.0/16"), 60)


def test_what_comes_late_changes_no_deadline(router):
    """`extend` says what its sender has seen left: five seconds more or less are the same."""

    def left(*words):
        return int(router.say("extend", "r", "t1", *words).split()[1])

    router.arm("r", "t1", 600, "10.1.0.0/16")
    for seen in (700, 610, 560, 1):
        assert 560 < left(3000, seen) < 600
    assert 2960 < left(3000, left(3000, 1)) <= 3000
    assert 2960 < left(3000, 600) <= 3000, "said again it changes nothing"
    assert 560 < left(600, 0) <= 600, "who has not looked"


@pytest.mark.parametrize("older", [False, True])
def test_limits_choose_steps(router, older):
    """Of three steps the middle one; the deadline stays where it was, over an extension the limits do.  An older
    ferry-router's record, and its timer, have them in the state."""
    steps = "".join(f"@step {delay} ip 1 -\nroute replace blackhole 10.{delay}.0.0/16\n" for delay in (0, 1, 2)) + "@end\n"
    assert router.say("limit", "r", "t1", 0, 0) == "none"
    router.say("arm", "r", "t1", 60, steps=steps)
    state = os.path.join(router.record("r", "t1"), "state")
    if older:
        os.unlink(glob.glob(state.replace("state", "limit.*"))[0])
    with open(state, encoding="ascii") as f:
        deadline = f.read().split()[2]
    for limits in ((1, 0), (0, 9), (1, 2), (1, 3)):  # the end only ever gets less
        assert router.say("limit", "r", "t1", *limits).startswith("armed")
    with open(state, encoding="ascii") as f:
        assert f.read().split()[2:] == ([deadline, "1", "2"] if older else [deadline, "0"])
    assert [os.path.basename(p) for p in glob.glob(state.replace("state", "limit.*"))] == ([] if older else ["limit.1.2"])
    router.say("extend", "r", "t1", 1)
    until("the undo", lambda: router.say("look", "r", "t1") == "fired undone")
    assert [bool(router.routes(f"10.{delay}.0.0/16")) for delay in (0, 1, 2)] == [False, True, False]
    assert router.say("limit", "r", "t1", 0, 0) == "fired undone"


def arm_twice(router, seconds, new, direction, split):
    """Steps 0, 1 and 2 s after the deadline; those of `split` and more after the later of two."""
    steps = "".join(f"@step {delay} ip 1 -\nroute replace blackhole 10.{delay}.0.0/16\n" for delay in (0, 1, 2)) + "@end\n"
    router.say("arm", "r", "t1", seconds, steps=steps)
    assert router.say("move", "r", "t1", split, direction).startswith("armed"), "there is one deadline"
    first = int(router.say("next", "r", "t1", new, direction).split()[1])
    assert (-1 if direction == "later" else new) < first <= seconds, "every step is where it was"
    for again in (split, split + 1 if direction == "later" else split - 1):
        assert router.say("move", "r", "t1", again, direction).startswith("moving"), "what went over does not come back"
    assert router.say("next", "r", "t1", 500, direction).startswith("moving"), "while steps are on their way"


def there(router):
    return [bool(router.routes(f"10.{delay}.0.0/16")) for delay in (0, 1, 2)]


def test_the_rest_of_an_undo_waits_for_the_second_deadline(router):
    arm_twice(router, 8, 14, "later", 2)
    until("the first deadline", lambda: router.say("look", "r", "t1").startswith("rests"))
    assert there(router) == [True, True, False]
    router.kill_timers()
    assert router.say("look", "r", "t1").startswith("rests") and router.timers(), "a killed timer is replaced"
    until("the undo", lambda: router.say("look", "r", "t1") == "fired undone")
    assert there(router) == [True, True, True]


def test_the_rest_of_an_undo_obeys_a_disarm_alone(router):
    arm_twice(router, 600, 8, "earlier", 1)
    until("the first deadline", lambda: router.say("look", "r", "t1").startswith("rests"))
    assert there(router) == [True, False, False]
    assert router.say("confirm", "r", "t1").startswith("rests") and router.say("limit", "r", "t1", 0, 1).startswith("rests")
    assert "is armed on this router" in router.arm("r", "t2", 60, "10.9.0.0/16", rc=1)
    assert router.say("disarm", "r", "t1") == "none" == router.say("look", "r", "t1")
    until("the timer to end", lambda: not router.timers())


def test_the_rest_of_an_undo_begins_where_it_is_told(router):
    arm_twice(router, 8, 14, "later", 1)
    for begin in (2, 0):  # before the first deadline it goes back too
        router.say("limit", "r", "t1", begin, 0)
    until("the first deadline", lambda: router.say("look", "r", "t1").startswith("rests"))
    for begin in (2, 0):  # what was given up does not come back, and it ends no earlier
        assert router.say("limit", "r", "t1", begin, 1).startswith("rests")
    until("the undo", lambda: router.say("look", "r", "t1") == "fired undone")
    assert there(router) == [True, False, True]


@pytest.mark.parametrize("seconds, new, direction, split", [(60, 600, "later", 0), (600, 10, "earlier", 3)])
def test_a_deadline_is_settled(router, seconds, new, direction, split):
    arm_twice(router, seconds, new, direction, split)
    for _ in range(2):
        assert armed(router.say("settle", "r", "t1", direction), new)
    if direction == "earlier":
        until("the undo", lambda: router.say("look", "r", "t1") == "fired undone")
        assert there(router) == [True, True, True]


def test_confirmed_is_confirmed(router):
    router.arm("r", "t1", 60, "10.1.0.0/16")
    assert router.timers()
    assert router.say("confirm", "r", "t1") == "confirmed" == router.say("confirm", "r", "t1")
    assert router.say("extend", "r", "t1", 5) == "confirmed"
    until("the timer to end", lambda: not router.timers())
    assert router.arm("r", "t1", 60, "10.1.0.0/16") == "confirmed", "nobody arms it again"
    router.arm("r", "t2", 60, "10.1.0.0/16")
    assert router.say("disarm", "r", "t2") == "none" == router.say("look", "r", "t2")
    until("the timer to end", lambda: not router.timers())


def test_half_an_undo_is_none(router):
    for steps in ("", "@step 0 ip 2 -\nroute del 10.0.0.0/8\n", "@step 0 ip 1 -\nroute del 10.0.0.0/8\n",
                  "@step 0 sh 1 -\nreboot\n@end\n", "@step 0 ip 1 ;\nx\n@end\n", "@end\n"):
        assert "did not arrive whole" in router.say("arm", "r", "t1", 60, steps=steps, rc=1)
    assert router.say("look", "r", "t1") == "none" and not router.timers()


def test_a_restart_of_the_router(router):
    router.arm("r", "t1", 60, "10.1.0.0/16")
    router.kill_timers()
    router.edit("r", "t1", lambda text: "armed 00000000-0000-0000-0000-000000000000 " + text.split()[2] + "\n")
    assert router.say("look", "r", "t1") == "fired the router was restarted" == router.say("confirm", "r", "t1")
    assert router.routes("10.1.0.0/16") == "blackhole 10.1.0.0/16", "looking changes nothing"
    router.say("boot")
    until("the undo", lambda: router.say("look", "r", "t1") == "fired undone")
    assert router.routes("10.1.0.0/16") == "blackhole 10.1.0.0/16 metric 9"


@pytest.mark.parametrize("state", ["armed", "rests"])
def test_a_restarted_router_is_disarmed(router, state):
    """A deadman_boot that comes late finds nothing of a transaction that has ended."""
    router.arm("r", "t1", 60, "10.1.0.0/16")
    router.kill_timers()
    router.edit("r", "t1", lambda text: f"{state} 00000000-0000-0000-0000-000000000000 {text.split()[2]} 0 -\n")
    for verb, more in (("look", ()), ("confirm", ()), ("limit", (0, 1)), ("extend", (60,))):
        assert router.say(verb, "r", "t1", *more) == "fired the router was restarted"
    assert router.say("disarm", "r", "t1") == "none" == router.say("look", "r", "t1")
    assert not router.say("boot") and not router.timers()
    assert router.routes("10.1.0.0/16") == "blackhole 10.1.0.0/16"


def test_a_killed_timer_is_replaced(router):
    router.arm("r", "t1", 8, "10.1.0.0/16")
    router.kill_timers()
    assert router.say("look", "r", "t1").startswith("armed") and router.timers()
    until("the undo", lambda: router.say("look", "r", "t1") == "fired undone")


def arm_long(router):
    """Its undo has begun, and is not over for long."""
    router.say("arm", "r", "t1", 1, steps="".join(f"@step {delay} ip 1 -\nroute replace blackhole 10.9.0.0/16\n"
                                                  for delay in (0, 600)) + "@end\n")
    until("the first step", lambda: router.routes("10.9.0.0/16"))
    assert router.say("look", "r", "t1") == "fired the undo is not over"


def test_a_timer_that_dies_at_its_undo_is_over(router):
    """Nobody takes its place, and nobody waits for it: the controller undoes the rest."""
    arm_long(router)
    assert "of transaction t1 is not over on this router" in router.arm("r", "t2", 60, "10.2.0.0/16", rc=1)
    router.kill_timers()
    for verb in ("look", "confirm", "disarm"):
        assert router.say(verb, "r", "t1") == "fired the timer has died: some of it may not be undone"
    assert not router.timers() and router.arm("r", "t2", 60, "10.2.0.0/16").startswith("armed")


def test_it_needs_nobody_who_armed_it(router, tmp_path):
    """The session ends at once (its output is not held open), is killed with its group, and the script is gone."""
    script = os.path.join(str(tmp_path), "ferry-router")
    shutil.copy(SCRIPT, script)
    ip("-n", router.netns, "route", "replace", "blackhole", "10.1.0.0/16")
    process = subprocess.Popen(["ip", "netns", "exec", router.netns, "sh", script, "deadman_arm", "r", "t1", "8"],
                               env=router.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, start_new_session=True)
    out, _ = process.communicate("@step 0 ip 1 -\nroute del blackhole 10.1.0.0/16\n@end\n", timeout=30)
    assert out.startswith("armed") and router.timers(), "whoever reads it to its end waits for no timer"
    try:
        os.killpg(process.pid, 9)
    except ProcessLookupError:
        pass
    os.unlink(script)
    until("the undo", lambda: not router.routes("10.1.0.0/16"))


def race(router, i, late, seconds):
    """Confirms at the deadline, give or take, how fast the machine may be; returns who has won."""
    name, prefix = f"r{i}", f"10.{i // 256}.{i % 256}.0/24"
    router.say("arm", name, "t1", seconds, steps=f"@step 0 ip 1 -\nroute replace blackhole {prefix} metric 9\n@end\n")
    time.sleep(max(0, router.deadline(name, "t1") + late - uptime()))
    answer = router.say("confirm", name, "t1").split()[0]
    if answer == "fired":
        until("the undo", lambda: os.path.exists(os.path.join(router.record(name, "t1"), "result")))
    return name, prefix, answer


def test_confirm_and_timer_have_one_winner(router):
    seed = int(os.environ.get("FERRY_SEED", "1"))
    dice = random.Random(seed)
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        began = time.monotonic()
        for done in pool.map(lambda i: router.arm(f"w{i}", "t1", 3600, "10.99.0.0/16"), range(20)):
            assert done.startswith("armed")
        took = time.monotonic() - began  # a busy machine takes long for so many, and is early then, with time to be so
        runs = list(pool.map(lambda i: race(router, i, dice.uniform(-0.4 - took, 0.15 + took / 2), 3 + int(3 * took)), range(RACES)))
    time.sleep(0.5)  # a second winner would show itself
    for name, prefix, answer in runs:
        with open(os.path.join(router.record(name, "t1"), "state"), encoding="ascii") as f:
            assert f.read() == answer + "\n", name
        assert bool(router.routes(prefix)) == (answer == "fired"), name
    winners = [answer for _, _, answer in runs]
    assert RACES / 20 <= winners.count("fired") <= RACES * 19 / 20, winners.count("fired")


# ---- A sleep that knows whole seconds alone. ----

SLEEP = """
set -e
cp "$(command -v sleep)" "$2/sleep"
printf '#!/bin/sh\\necho "$1" >>%s/asked\\ncase $1 in *.*) exit 1 ;; esac\\nexec %s/sleep "$@"\\n' "$2" "$2" >"$2/whole"
chmod +x "$2/whole"
mount --bind "$2/whole" "$(command -v sleep)"
sed '$d' "$1" >"$2/library"
. "$2/library"
dm_now
began=$now
dm_sleep 130
dm_now
echo "slept $((now - began))"
cat "$2/asked"
"""


def test_a_sleep_of_whole_seconds_is_not_rounded_up(router, tmp_path):
    router.arm("r", "t1", 60, "10.1.0.0/16")
    done = run("timeout", 30, "unshare", "-m", "sh", "-c", SLEEP, "sh", os.path.join(router.record("r", "t1"), "timer"), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    slept, *asked = done.stdout.split()[1:]
    assert asked == ["1.30", "1"] and int(slept) >= 130, done.stdout


# ---- BusyBox's flock. ----

FLOCK = """
set -e
mount -t tmpfs none /run
cp "$(command -v flock)" /run/flock
printf '#!/bin/sh\\nfor word; do case $word in -[!sxun]* | -?[!sxun]*) exit 1 ;; esac; done\\nexec /run/flock "$@"\\n' >/run/small
chmod +x /run/small
mount --bind /run/small "$(command -v flock)"
ip link set lo up
sh "$1" claim /state abc
printf '@step 0 ip 1 -\\nroute add blackhole 10.1.0.0/16\\n@end\\n' | sh "$1" @1/abc deadman_arm r t1 2
exec 5<"$FERRY_DEADMAN_DIR/r/lock"
flock 5
(sleep 1) & # has it, too
exec 5<&-
until [ "$(sh "$1" deadman_look r t1)" = "fired undone" ]; do sleep 0.1; done
ip route
sh "$1" release abc
"""


def test_a_flock_that_cannot_wait_for_seconds(tmp_path):
    done = run("timeout", "-s", "KILL", 40, "unshare", "-n", "-m", "-p", "--fork", "--mount-proc", "--kill-child", "sh", "-c", FLOCK, "sh", SCRIPT,
               env=dict(os.environ, FERRY_DEADMAN_DIR=str(tmp_path / "records")))
    assert done.returncode == 0, done.stdout + done.stderr
    said = [line for line in done.stdout.splitlines() if line and not line.startswith("ferry-")]
    assert said == ["claimed", said[1], "blackhole 10.1.0.0/16 "] and said[1].startswith("armed"), done.stdout


# ---- A disk that takes nothing more. ----

DISK = """
set -e
mount -t tmpfs none /run
mount -t tmpfs -o size=256k,nr_inodes=64 none "$FERRY_DEADMAN_DIR"
cd "$FERRY_DEADMAN_DIR"
ip link set lo up
ip route add blackhole 10.1.0.0/16
say() { verb=$1 router=$2; shift 2; sh "$script" "deadman_$verb" "$router" t1 "$@"; }
printf '@step 0 ip 1 -\\nroute del blackhole 10.1.0.0/16\\n@step 1 ip 1 -\\nroute add blackhole 10.2.0.0/16\\n@end\\n' | say arm fires 5
printf '@step 0 ip 1 -\\nroute add blackhole 10.3.0.0/16\\n@end\\n' | say arm keeps 3600
case $2 in
read-only) mount -o remount,ro "$FERRY_DEADMAN_DIR" ;;
inodes) while touch more.$((n += 1)) 2>/dev/null; do :; done ;;
full) head -c 1M /dev/zero >more 2>/dev/null || : ;;
esac
! { echo more >no-room; } 2>/dev/null || [ ! -s no-room ]
[ "$2" = read-only ] || { say limit keeps 0 1; say limit keeps 0 1; say limit keeps 10 1; say confirm keeps; }
until ip route show 10.2.0.0/16 | grep -q .; do sleep 0.1; done
ip route
if [ "$2" = read-only ]; then
    ip route del blackhole 10.2.0.0/16
    until say look fires | grep -q "undone" || [ $((n += 1)) -gt 10 ]; do sleep 0.1; done
    mount -o remount,rw "$FERRY_DEADMAN_DIR"
fi
until [ "$(say look fires)" = "fired undone" ]; do sleep 0.1; done
ip route
"""


@pytest.mark.parametrize("disk", ["full", "inodes", "read-only"])
def test_a_disk_that_takes_nothing_stops_no_confirm_and_no_undo(tmp_path, disk):
    (tmp_path / "records").mkdir()
    done = run("timeout", "-s", "KILL", 40, "unshare", "-n", "-m", "-p", "--fork", "--mount-proc", "--kill-child", "sh", "-c",
               "script=$1" + DISK, "sh", SCRIPT, disk, env=dict(os.environ, FERRY_DEADMAN_DIR=str(tmp_path / "records")))
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.strip() for line in done.stdout.splitlines()[2:]]
    if disk == "read-only":
        assert lines == ["blackhole 10.2.0.0/16"], "it was run once, whoever looked"
    else:
        assert [line.split()[0] for line in lines[:4]] == ["armed", "armed", "armed", "confirmed"]
        assert lines[4:] == ["blackhole 10.2.0.0/16"] * 2


REST = """
set -e
mount -t tmpfs none /run
mount -t tmpfs none "$FERRY_DEADMAN_DIR"
say() { verb=$1; shift; sh "$script" "deadman_$verb" r t1 "$@"; }
ip link set lo up
for delay in 0 1 2; do echo "@step $delay ip 1 -"; echo "route add blackhole 10.$delay.0.0/16"; done >/run/steps
{ cat /run/steps; echo @end; } | say arm 4
say next 12 later
say move 1 later
mount -o remount,ro "$FERRY_DEADMAN_DIR"
until ip route show 10.0.0.0/16 | grep -q .; do sleep 0.1; done
say look
sleep 3
ip route
until ip route show 10.2.0.0/16 | grep -q .; do sleep 0.1; done
ip route
"""


def test_a_disk_that_takes_nothing_keeps_the_second_deadline(tmp_path):
    """What others undo at the second one would be done here at the first."""
    (tmp_path / "records").mkdir()
    done = run("timeout", "-s", "KILL", 40, "unshare", "-n", "-m", "-p", "--fork", "--mount-proc", "--kill-child", "sh", "-c",
               "script=$1" + REST, "sh", SCRIPT, env=dict(os.environ, FERRY_DEADMAN_DIR=str(tmp_path / "records")))
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.strip() for line in done.stdout.splitlines()[3:]]
    assert lines == ["fired the undo is about to begin"] + [f"blackhole 10.{delay}.0.0/16" for delay in (0, 0, 1, 2)], done.stdout


# ---- Labs. ----

def visits(heard, address):
    """How often an address came and went, by what a Monitor heard; never at two sites."""
    events = [(router, line) for router, line in heard if f"local {address} " in line]
    assert events and "Deleted" in events[0][1], f"the first event shows where it stood: {events}"
    at = {events[0][0]}
    for router, line in events:
        at = at - {router} if "Deleted" in line else at | {router}
        assert len(at) <= 1, f"at two sites: {at}: {events}"
    return len(events)


def with_gateway(lab, address):
    return [r for r in lab.routers if f'"{address}"' in ip("-n", r, "-j", "address", "show")]


def forget(lab):
    for router in lab.routers:
        for path in glob.glob(f"{RECORDS}/{router}@*"):
            shutil.rmtree(path)


@pytest.fixture(name="labs", scope="module")
def make_labs(tmp_path_factory):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Lab(name, tmp_path_factory.mktemp(tag), tag)) for name, tag in
               (("three-site", "da"), ("three-site", "db"), ("dual-stack", "dc"))]


def window(lab, *more, subnet="app", within="10s", rc=7):
    return lab.json("apply", "--move", f"{subnet}=recovery", "--yes", "--confirm-within", within, *more, rc=rc)


def kill_in_the_middle(lab, monitor):
    """SIGKILL as soon as the old gateway is gone: somewhere between detach and the end."""
    trace = subprocess.Popen(["strace", "-I1", "-f", "-qq", "-o", "/dev/null", "-e", "trace=sendmsg,sendto", "-e",
                              "inject=sendmsg,sendto:delay_enter=30000", FERRY, "apply", "--move", "app=recovery", "--yes",
                              "--confirm-within", "10s"], env=lab.env, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    until("the old gateway to go", lambda: "Deleted local 192.168.1.1 " in monitor.text(), pause=0.002)
    for pid in run("pgrep", "-P", trace.pid).stdout.split():
        with contextlib.suppress(ProcessLookupError):  # it came to its end: nobody confirms that either
            os.kill(int(pid), 9)
    trace.terminate()  # lets go of the timers, which it follows too
    trace.wait(timeout=60)


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_without_a_confirm_every_router_comes_back(labs):
    plain, killed, dual = labs
    third = plain.router("edge-third")
    ip("-n", third, "route", "replace", "192.168.1.0/24", "via", "10.255.13.1", "metric", 20, "proto", "static", "mtu", 1400,
       "advmss", 1300, "initcwnd", 12)
    before = {lab: lab.states() for lab in labs}
    with Monitor(plain, plain.directory) as plainly, Monitor(killed, killed.directory) as cut:
        tx = window(plain)["id"]
        assert with_gateway(plain, "192.168.1.1") == [plain.router("edge-recovery")]
        six = next(s["name"] for s in dual.document["subnets"] if ":" in s["prefix"])
        window(dual, subnet=six)
        kill_in_the_middle(killed, cut)
        assert killed.states() != before[killed], "the kill came in the middle"
        shutil.move(plain.state_dir, plain.state_dir + ".gone")  # the controller is gone, with all that it knew
        for lab, seconds in ((plain, 60), (dual, 60), (killed, 90)):
            until(f"{lab.name} to come back", lambda lab=lab: time.sleep(0.2) or lab.states() == before[lab], seconds)
        shutil.move(plain.state_dir + ".gone", plain.state_dir)
        time.sleep(1)
        for lab in labs:
            assert not differences(before[lab], lab.states())
        assert visits(plainly.events(), "192.168.1.1") == 4 and visits(cut.events(), "192.168.1.1") in (2, 4)
    assert plain.ferry("confirm", tx, rc=5).stdout.startswith("too late")
    for lab in (killed, dual):
        assert lab.json("recover")["state"] == "undone"
        assert not differences(before[lab], lab.states())
    window(killed)
    killed.ferry("rollback", "--yes")


def test_a_confirm_in_time_keeps_it(labs):
    lab = labs[0]
    before = lab.states()
    window(lab, within="1m")
    moved = lab.states()
    tx = lab.json("history")["transactions"][0]["id"]
    assert lab.json("extend", tx, "2m")["state"] == "awaiting-confirm"
    assert lab.json("confirm")["state"] == "committed"
    for router in lab.routers:
        (state,) = glob.glob(f"{RECORDS}/{router}@*/{tx}/state")
        with open(state, encoding="ascii") as f:
            assert f.read() == "confirmed\n"
    time.sleep(1)
    assert not differences(moved, lab.states())
    lab.ferry("rollback", "--yes")
    assert not differences(before, lab.states())


def test_a_failed_apply_leaves_nothing_armed(labs):
    lab = labs[0]
    before = lab.states()
    recovery = lab.router("edge-recovery")
    forget(lab)  # of the tests before
    process = subprocess.Popen([FERRY, "apply", "--move", "app=recovery", "--yes", "--confirm-within", "1m", "--json"],
                               env=lab.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    until("the undo to be armed", lambda: glob.glob(f"{RECORDS}/{recovery}@*/*/pid") or process.poll() is not None)
    process.terminate()  # at once, or just too late
    out, _ = process.communicate(timeout=100)
    record = json.loads(out)
    if record["state"] == "awaiting-confirm":
        lab.ferry("rollback", "--yes")
    else:
        assert record["state"] == "undone" and process.returncode == 5
    assert not differences(before, lab.states())
    for router in lab.routers:
        assert not glob.glob(f"{RECORDS}/{router}@*/{record['id']}")


# ---- systemd, played by two scripts: what is asked of it, and when. ----

SYSTEMD_RUN = """#!/bin/sh
echo "$@" >>/run/asked
for word; do
    case $word in
    --unit=*) unit=${word#--unit=} ;;
    --on-active=*) seconds=${word#--on-active=} ;;
    --*) ;;
    *) break ;;
    esac
    shift
done
: >"/run/$unit.timer"
(sleep "${seconds%s}"; mv "/run/$unit.timer" "/run/$unit.service" && "$@"; rm -f "/run/$unit.service") </dev/null >/dev/null 2>&1 &
"""
SYSTEMCTL = """#!/bin/sh
verb=$1
shift
for unit; do
    case $verb in
    is-active) [ "$unit" = --quiet ] || [ -e "/run/$unit" ] || exit 3 ;;
    stop) rm -f "/run/$unit" ;;
    esac
done
"""
STORY = """
set -e
mount -t tmpfs none /run
mkdir -p /run/systemd/system
mount --bind "$1/systemd-run" /usr/bin/systemd-run
mount --bind "$1/systemctl" /usr/bin/systemctl
ip link set lo up
ip route add blackhole 10.1.0.0/16
say() { sh "$2" "deadman_$1" r t1 $3; }
printf '@step 0 ip 1 -\\nroute del blackhole 10.1.0.0/16\\n@end\\n' | say arm "$2" 300
say extend "$2" 8
say look "$2"
ls "$FERRY_DEADMAN_DIR"
cat /run/asked
sleep 1
until [ "$(say look "$2")" = "fired undone" ]; do sleep 0.1; done
ip route show 10.1.0.0/16
printf '@step 0 ip 1 -\\nroute add blackhole 10.1.0.0/16\\n@end\\n' | sh "$2" deadman_arm r t2 300
sh "$2" deadman_confirm r t2
ls /run/*.timer || echo no timer
"""


@pytest.mark.skipif(not all(map(os.path.exists, ("/usr/bin/systemd-run", "/usr/bin/systemctl"))), reason="needs systemd's programs")
def test_systemd_is_the_timer_where_it_runs(tmp_path):
    for name, text in (("systemd-run", SYSTEMD_RUN), ("systemctl", SYSTEMCTL)):
        path = tmp_path / name
        path.write_text(text)
        path.chmod(0o755)
    done = run("unshare", "-n", "-m", "-p", "--fork", "--mount-proc", "--kill-child", "sh", "-c", STORY, "sh", tmp_path, SCRIPT,
               env=dict(os.environ, FERRY_DEADMAN_DIR=str(tmp_path / "records")))
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert armed(lines[0], 300) and armed(lines[1], 8) and armed(lines[2], 8)
    assert lines[3] == "r", "no namespace of a bigger machine"
    asked = lines[4:6]
    for line, seconds in zip(asked, (300, 8)):
        assert f"--on-active={seconds}s" in line and "--timer-property=AccuracySec=10ms" in line, line
        assert line.endswith(f"/bin/sh {tmp_path}/records/r/t1/timer unit")
    assert armed(lines[6], 300) and lines[7:] == ["confirmed", "no timer"], lines[6:]
