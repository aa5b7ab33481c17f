"""Bad days in the middle of a move: the program is stopped before its n-th send, the world changes, and it goes on.

What changes: the links of a router fall silent while the controller still reaches it (`darken`, netlink lab:
namespaces are entered, not dialled), a router is cut off from everybody, the controller included (`cut_off`,
SSH lab with a management network), or somebody else edits the prefix (`meddle`).  A client asks the moved
machine 1,000 times a second all the while.

Used by test_bad_days.py and tests/campaign/bad-days.
"""
import json
import os
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "scenario"), os.path.join(HERE, "..", "netns")]
import crashlab  # noqa: E402
import frrlab  # noqa: E402
from crashlab import Bench, differing, truth  # noqa: E402
from frrfaults import Workshop  # noqa: E402
from frrlab import FrrLab, Stream  # noqa: E402
from labtool import differences, ip, until  # noqa: E402

WHY_NOT = crashlab.WHY_NOT
WHY_NO_SSH = crashlab.WHY_NOT or frrlab.WHY_NOT
PREFIX, GATEWAY, MACHINE = "192.168.1.0/24", "192.168.1.1/24", "192.168.1.10"


class Day(Bench, FrrLab):
    """A three-site lab, a client at the third site, and what was routed before, as `ip` takes it again."""

    def __enter__(self):
        super().__enter__()
        self.routes = {r: [line for line in self.prefix_routes(r) if "proto kernel" not in line] for r in self.routers}
        self.attached_before = self.attached()
        return self

    def stream(self):
        return Stream(self, next(iter(self.hosts("client").values())), MACHINE, "app-1")

    def prefix_routes(self, router):
        return [line.strip() for line in ip("-n", router, "route", "show", PREFIX).splitlines()]

    def stopped(self, *argv, at, kinds):
        """Runs the program up to its `at`-th call.  Returns (process, whether it stands there)."""
        process = self.start(*argv, at=at, kinds=kinds, how="stop")
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            process.returncode = os.waitstatus_to_exitcode(status)
        return process, os.WIFSTOPPED(status)

    # ---- Silence ----

    def ends(self, router):
        """(namespace, interface) of both ends of every link of a router, and of its LANs."""
        ends = {(router, i["name"]) for r in self.document["routers"] if r["name"] == router for i in r["interfaces"]}
        for link in self.document["links"]:
            pair = [tuple(end.split(":")) for end in link["endpoints"]]
            ends |= set(pair) if any(r == router for r, _ in pair) else set()
        return sorted(ends)

    def darken(self, router):
        """Nothing gets through any more; the carriers stay."""
        for netns, interface in self.ends(router):
            self.tc(netns, "add", interface, "pfifo", "limit", "0")

    def lighten(self, router):
        for netns, interface in self.ends(router):
            self.tc(netns, "del", interface)

    @staticmethod
    def tc(netns, verb, interface, *words):
        subprocess.run(["tc", "-n", netns, "qdisc", verb, "dev", interface, "root", *words], check=True)


class RemoteDay(Day):
    """The same with routers that are reached by SSH over a network of their own."""

    manage_from_afar, port, cut = Workshop.manage_from_afar, Workshop.port, Workshop.cut

    def up(self):
        super().up()
        self.office = self.prefix + "office"
        self.manage_from_afar()

    def __exit__(self, *arguments):
        super().__exit__(*arguments)
        ip("netns", "del", self.office, check=False)

    def fresh(self):
        """Routers know a controller by a number: a connection that they still take for alive is to be this one's
        own.
        """
        path = os.path.join(self.state_dir, "controller")
        kept = None
        if os.path.exists(path):
            with open(path, encoding="ascii") as f:
                kept = f.read()
        super().fresh()
        if kept:
            os.makedirs(self.state_dir, mode=0o700)
            with open(path, "w", encoding="ascii") as f:
                f.write(kept)

    def cut_off(self, router):
        self.cut(router)
        self.darken(router)

    def mend(self, router):
        self.lighten(router)
        ip("-n", self.office, "link", "set", self.port(router), "master", "br0")


def goes_on(day, process):
    os.kill(process.pid, signal.SIGCONT)
    return day.end(process)


def hold_to_word(day, done, events):
    """The exit status against routers and journal.  Returns what differs from the start of routers that were named."""
    now = day.states()
    if done.rc == 0:
        assert now == day.after, f"{done}{differences(day.after, now)}"
    elif done.rc in (1, 3, 4, 5):
        assert now == day.before, f"{done}{differences(day.before, now)}"
        assert events == 0 or done.rc == 5, done
    else:
        assert done.rc == 6, done
        truth(day, done, day.before)


def recover(day, done):
    """Once all is well again: `recover`, as often as a router's sshd needs to notice that a connection is gone;
    then home.
    """
    until("recover", lambda: day.ferry("recover", "--yes", rc=(0, 1, 6, 8)).returncode == 0, 60)
    if day.states() == day.after:
        day.ferry("rollback", "--yes")
    now = day.states()
    assert now == day.before, f"{done}{differences(day.before, now)}"
    day.watch()


def dark(day, router, at, kinds=("send",)):
    """A site falls silent before the `at`-th send; the controller still reaches all routers: the move goes through.
    Returns (exit status, what the client saw), or None where there is no such send."""
    day.fresh()
    with day.stream() as stream:
        process, stands = day.stopped("apply", *day.move, "--yes", "--json", at=at, kinds=kinds)
        if stands:
            day.darken(router)
        done = goes_on(day, process) if stands else day.end(process)
        events = day.watch()
        time.sleep(0.2)
        seen = stream.stop()
        if stands:
            day.lighten(router)
    hold_to_word(day, done, events)
    recover(day, done)
    assert seen["duplicates"] == 0, seen
    return (done.rc, seen) if stands else None


def cut(day, router, at):
    """A router is cut off from all others and from the controller before the `at`-th thing that is said over SSH.
    Returns (exit status, seconds, what the client saw), or None."""
    day.fresh()
    started = time.monotonic()
    with day.stream() as stream:
        process, stands = day.stopped("apply", *day.move, "--yes", "--json", at=at, kinds=("talk",))
        if stands:
            day.cut_off(router)
        done = goes_on(day, process) if stands else day.end(process)
        seconds, events = time.monotonic() - started, day.watch()
        seen = stream.stop()
    if stands:
        # What a silent router does by itself meanwhile is seen, like everybody's, in the kernels' events.
        day.lighten(router)
        hold_to_word(day, done, events)
        ip("-n", day.office, "link", "set", day.port(router), "master", "br0")
    else:
        hold_to_word(day, done, events)
    recover(day, done)
    assert seen["duplicates"] == 0, seen
    return (done.rc, seconds, seen) if stands else None


# ---- Somebody else ----

def ours(day, router):
    """What stands there for the prefix, kernel's routes left out: [(line, metric)]."""
    return [(line, line.split("metric ")[1].split()[0] if "metric " in line else "0")
            for line in day.prefix_routes(router) if "proto kernel" not in line]


def edit(day, router, what):
    """One edit by another hand.  Returns the words that undo it ([] where that takes a look), or None: nothing
    to edit.
    """
    routes = ours(day, router)
    if what == "added":
        ip("-n", router, "route", "add", "unreachable", PREFIX, "metric", "7777")
        return ["route", "del", "unreachable", PREFIX, "metric", "7777"]
    if what == "added-better":
        ip("-n", router, "route", "add", "prohibit", PREFIX, "metric", "5", "proto", "77")
        return ["route", "del", "prohibit", PREFIX, "metric", "5", "proto", "77"]
    if what == "deleted" and routes:
        ip("-n", router, "route", "del", *routes[0][0].split())
        return []
    if what == "changed" and routes:
        line = routes[0][0].replace("blackhole", "unreachable")
        ip("-n", router, "route", "replace", *line.split(), *([] if line.startswith("unreachable") else ["mtu", "1400"]))
        return []
    if what == "unaddressed" and router in day.attached():
        ip("-n", router, "addr", "del", GATEWAY, "dev", "lan0")
        return []
    return None


EDITS = ["added", "added-better", "deleted", "changed", "unaddressed"]


def repair(day, router):
    """What a person does after exit 6: puts back what was there before, but attaches nothing twice."""
    for line, _ in ours(day, router):
        ip("-n", router, "route", "del", *line.split())
    for line in day.routes[router]:
        ip("-n", router, "route", "add", *line.split())
    if router in day.attached_before and not day.attached():
        ip("-n", router, "addr", "add", GATEWAY, "dev", "lan0")


def meddle(day, router, what, at):
    """Somebody edits the prefix on a router before the `at`-th send.  Returns the exit status; "overwritten"
    where Ferry went on over a change that was made between its look and its write (the kernel has no
    compare-and-set); "nothing" where there was nothing to edit; None where there is no such send.
    """
    day.fresh()
    process, stands = day.stopped("apply", *day.move, "--yes", "--json", at=at, kinds=("send",))
    back = edit(day, router, what) if stands else None
    done = goes_on(day, process) if stands else day.end(process)
    day.watch(meddled=True)
    if back is None:
        hold_to_word(day, done, 1)
        recover(day, done)
        return "nothing" if stands else None
    told = f"{what} on {router} at {at}: {done}"
    ending = done.rc
    assert done.rc in (0, 5, 6), told
    if done.rc == 6:
        assert router in done.out, told
        truth(day, done, day.before)
    if back:
        ip("-n", router, *back)  # it must still be there
    now = day.states()
    if done.rc == 0:
        assert now == day.after, told + differences(day.after, now)
        ending = "overwritten" if what == "changed" else 0
    elif done.rc == 5:
        assert now == day.before, told + differences(day.before, now)
        ending = "overwritten" if what == "changed" else 5
    elif not back:
        repair(day, router)
    day.watch(meddled=True)
    recover(day, done)
    return ending


def said(done):
    return json.loads(done.out)


__all__ = ["EDITS", "Day", "RemoteDay", "WHY_NOT", "WHY_NO_SSH", "cut", "dark", "differing", "meddle"]
