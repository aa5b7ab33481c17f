"""Faults on FRR routers, at a chosen write: what breaks, how it is mended, and what Ferry's word is held against.

In a Workshop every router's vtysh is a script that counts the files it is given and breaks something before or after
the n-th; the controller reaches the routers over a network of its own, so that a router can be cut off silently.
`trial` runs one verb under one fault and compares its exit status with the routers themselves, then mends, recovers,
and wants every router home.  Used by test_frr_faults.py and tests/campaign/frr-faults.
"""
import json
import os
import subprocess
import time

from frrlab import FrrLab
from labtool import FERRY, differences, ip, until

# Over /usr/bin/vtysh in the machine.  $lines: the file that vtysh was given; `real`: gives it to the real one.
VTYSH = r"""#!/bin/sh
here=/run/lab/fault
for word in "$@"; do [ "$word" != -f ] || file=yes; done
[ -n "${file-}" ] || exec $here/vtysh "$@"
lines=$(mktemp $here/lines.XXXXXX)
cat >"$lines"
grep -qvx -e 'interface .*' -e exit "$lines" || exit 0 # a waiting one that was given nothing
n=$(flock $here/count sh -c 'n=$(($(cat $0) + 1)) && echo $n >$0.new && mv $0.new $0 && echo $n' $here/writes)
real() { $here/vtysh -f "$lines"; }
break_before() { :; }
break_after() { :; }
instead() { real; }
every() { for pid in /proc/[0-9]*; do [ "$(cat $pid/comm)" != "$1" ] || kill "-$2" "${pid#/proc/}"; done; }
call() { : >$here/called; until [ -e $here/answered ]; do sleep 0.01; done; }
[ "$n" != "$(cat $here/at)" ] || . $here/what
break_before
instead
break_after
"""

# What is broken, as shell inside the router.
FAULTS = {
    "refused": 'instead() { echo "% Unknown command: $(head -n 1 "$lines")" >&2; }',
    "swallowed": "instead() { :; }",
    "half": 'instead() { head -n $(($(wc -l <"$lines") / 2)) "$lines" >"$lines.half"; $here/vtysh -f "$lines.half"; }',
    "slow": "break_before() { sleep 2; }",
    "staticd-stopped": "break_before() { every staticd STOP; }",
    "staticd-killed": "break_before() { every staticd KILL; }",
    "staticd-killed-after": "break_after() { every staticd KILL; }",
    "zebra-stopped": "break_before() { every zebra STOP; }",
    "zebra-killed": "break_before() { every zebra KILL; }",
    "zebra-killed-after": "break_after() { every zebra KILL; }",
    "sshd-killed": "break_before() { every sshd KILL; }",
    "sshd-killed-after": "break_after() { every sshd KILL; }",
    "reply-lost": "break_after() { every sshd STOP; }",
    "link-cut": "break_before() { call; }",
    "link-cut-after": "break_after() { call; }",
}
CUTS = {"link-cut", "link-cut-after"}
NEVER_WRITTEN = (1, 3, 4)


class Workshop(FrrLab):
    """The three-site FRR lab, reached from a network of its own, with vtysh in the hand of the test."""

    def __init__(self, directory, tag="w"):
        super().__init__("three-site-frr", directory, tag)
        self.office = self.prefix + "office"
        self.before = self.after = None

    def __enter__(self):
        try:
            self.up()
            self.manage_from_afar()
            for router in self.routers:
                self.take_vtysh(router)
            self.before = self.states()
            self.ferry("apply", "--move", "app=recovery", "--yes")
            self.writes = {r: int(self.read(r, "writes")) for r in self.routers}
            self.after = self.states()
            self.ferry("rollback", "--yes")
            assert not differences(self.before, self.states()), differences(self.before, self.states())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *arguments):
        super().__exit__(*arguments)
        ip("netns", "del", self.office, check=False)

    # ---- How the controller comes to the routers ----

    def manage_from_afar(self):
        ip("netns", "add", self.office)
        ip("-n", self.office, "link", "add", "br0", "type", "bridge", "forward_delay", "0")
        ip("-n", self.office, "addr", "add", "10.254.0.254/24", "dev", "br0")
        ip("-n", self.office, "link", "set", "br0", "up")
        known = []
        for i, router in enumerate(self.routers, 1):
            address = f"10.254.0.{i}"
            ip("link", "add", "manage0", "netns", router, "type", "veth", "peer", "name", f"p{i}", "netns", self.office)
            ip("-n", self.office, "link", "set", f"p{i}", "master", "br0", "up")
            self.inside(router, "sysctl", "-q", "net.ipv6.conf.manage0.disable_ipv6=1")
            ip("-n", router, "addr", "add", f"{address}/24", "dev", "manage0")
            ip("-n", router, "link", "set", "manage0", "up")
            self.shell(router, "sed -i 's/^ListenAddress.*/ListenAddress 0.0.0.0/' /run/lab/ssh/sshd_config && "
                               "kill -HUP $(cat /run/sshd.pid)")
            with open(self.path(router, "ssh", "host_ed25519.pub"), encoding="utf-8") as f:
                known.append(f"{address} {f.read()}")
            next(r for r in self.document["routers"] if r["name"] == router)["driver"].update(netns=self.office, host=address)
        with open(os.path.join(os.path.dirname(self.path("")), "known_hosts"), "a", encoding="utf-8") as f:
            f.writelines(known)
        self.save()

    def port(self, router):
        return f"p{self.routers.index(router) + 1}"

    def cut(self, router):
        """Silently: the carrier stays."""
        ip("-n", self.office, "link", "set", self.port(router), "nomaster")

    # ---- What is broken ----

    def read(self, router, name):
        with open(self.path(router, "fault", name), encoding="utf-8") as f:
            return f.read()

    def write(self, router, name, text):
        with open(self.path(router, "fault", name), "w", encoding="utf-8") as f:
            f.write(text)

    def take_vtysh(self, router):
        os.mkdir(self.path(router, "fault"))
        self.write(router, "script", VTYSH)
        self.disarm(router)
        self.shell(router, "cd /run/lab/fault && cp /usr/bin/vtysh vtysh && chmod 755 script && mount -n --bind script /usr/bin/vtysh")

    def arm(self, router, fault, at):
        self.disarm(router)
        self.write(router, "what", FAULTS[fault])
        self.write(router, "at", str(at))

    def disarm(self, router):
        self.write(router, "at", "0")
        self.write(router, "writes", "0")
        for name in ("called", "answered"):
            if os.path.exists(self.path(router, "fault", name)):
                os.unlink(self.path(router, "fault", name))

    def mend(self, router):
        self.write(router, "at", "0")
        self.write(router, "answered", "")
        ip("-n", self.office, "link", "set", self.port(router), "master", "br0")
        self.shell(router, r"""for p in /proc/[0-9]*; do case $(cat $p/comm) in
            staticd | zebra | sshd | watchfrr) kill -CONT ${p#/proc/} ;; esac; done
            kill -0 $(cat /run/sshd.pid) 2>/dev/null || /usr/sbin/sshd -f /run/lab/ssh/sshd_config -E /run/lab/ssh/log""")
        until(f"{router} to work", lambda: self.works(router), 180, pause=0.5)

    def works(self, router):
        """All its daemons answer, and what is not moved is in the kernel as it was."""
        answers = self.enter(router, "/run/lab/fault/vtysh", "-c", "show watchfrr")
        return (answers.returncode == 0 and answers.stdout.count("  Up") == 2 and
                self.unmoved(self.kernel(router)) == self.unmoved(self.before[router][:3]))

    @staticmethod
    def unmoved(parts):
        return [[row for row in json.loads(part) if "192.168.1." not in json.dumps(row)] for part in parts[:2]]


def told(done):
    return f"exit {done.returncode}\n{done.stdout}{done.stderr}"


def trial(lab, fault, router, at, verb=("apply", "--move", "app=recovery", "--yes")):
    """One verb under one fault at the `at`-th file for vtysh of one router.  Returns (exit status, whether it
    broke, seconds).
    """
    loops, started = lab.loops(), time.monotonic()
    lab.arm(router, fault, at)
    with subprocess.Popen([FERRY, *verb], env=lab.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while fault in CUTS and process.poll() is None and not os.path.exists(lab.path(router, "fault", "called")):
            time.sleep(0.005)
        if fault in CUTS:
            lab.cut(router)
            lab.write(router, "answered", "")
        out, err = process.communicate(timeout=180)
    done = subprocess.CompletedProcess(verb, process.returncode, out, err)
    seconds, broke = time.monotonic() - started, int(lab.read(router, "writes")) >= at
    if not broke:
        print(f"{fault} at {router}, file {at}, was never reached: {told(done)}", flush=True)
    attached = lab.attached()
    primary, recovery, _ = lab.routers
    assert attached in ([primary], [recovery], []), f"attached at {attached}: {told(done)}"
    if done.returncode == 0:
        assert attached == [recovery], told(done)
    elif done.returncode in (5, *NEVER_WRITTEN):
        assert attached == [primary], told(done)
    else:
        assert done.returncode == 6, told(done)
        assert router in done.stdout + done.stderr, f"the router is not named: {told(done)}"
    lab.mend(router)
    settle(lab, done)
    assert lab.loops() == loops, "a router counted packets that ran out of hops"
    return done.returncode, broke, seconds


def settle(lab, done):
    """After the mending: what was said holds in every attribute, and a person's `recover` and `rollback` lead home."""
    if done.returncode == 0:
        assert not differences(lab.after, lab.states()), told(done) + differences(lab.after, lab.states())
        lab.ferry("rollback", "--yes")
    elif done.returncode != 6:
        assert not differences(lab.before, lab.states()), told(done) + differences(lab.before, lab.states())
    # A connection that was cut off silently ends on the router only when it hears of it; until then it has
    # Ferry's lock.
    recovered = until("recover", lambda: next((r for r in [lab.ferry("recover", rc=(0, 6))] if r.returncode == 0), None), 180, pause=1)
    state = lab.states()
    if "not saved" in done.stdout:  # a daemon that was killed came back with what was saved before the move: a person's to put right
        for router in lab.routers:
            lab.enter(router, "/run/lab/fault/vtysh", "-c", "configure terminal", "-c", "no ip route 192.168.1.0/24 10.255.12.1")
    if state == lab.after or "committed and verified, but not saved" in done.stdout:
        lab.ferry("rollback", "--yes")
        state = lab.states()
    assert not differences(lab.before, state), told(done) + told(recovered) + differences(lab.before, state)
