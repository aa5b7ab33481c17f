"""Labs whose routers run FRR or are reached over SSH: built, entered, looked at, and listened to.

FrrLab adds to labtool.Lab what a router that is a machine of its own has: processes, files, a configuration.  Stream
sends 1,000 datagrams a second to the moved machine, which answers with the name of the site it stands at.
As a program: `frrlab.py echo SITE` and `frrlab.py stream ADDRESS PERIOD_US`, each in the namespace of its machine.

Used by test_frr_*.py and tests/bench/frr.
"""
import json
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "netns"))
import labtool  # noqa: E402
from labtool import RUN, Lab, ip, until  # noqa: E402

NEEDED = ["/usr/lib/frr/frrinit.sh", "/usr/bin/vtysh", "/usr/sbin/sshd", "/usr/bin/ssh", "/usr/sbin/bird"]
MISSING = [p for p in NEEDED if not os.path.exists(p)]
WHY_NOT = labtool.WHY_NOT or (f"{', '.join(MISSING)} missing: topologies/install-packages tests" if MISSING else None)
PORT = 7007
SO_RCVBUFFORCE = 33  # asm-generic/socket.h; the module socket does not have it

CONFIGURATION = "Current configuration:\n"  # what stands before it, where a command prints it

# What FRR changes by itself from one look to the next.
FLEETING = {"uptime", "nexthopGroupId", "installedNexthopGroupId", "internalStatus", "internalFlags", "version",
            "tableVersion", "instanceEstablished", "queue", "lastUpdate"}


def without(value, keys):
    """A JSON value without the members of these names, at any depth."""
    if isinstance(value, dict):
        return {k: without(v, keys) for k, v in value.items() if k not in keys}
    return [without(v, keys) for v in value] if isinstance(value, list) else value


class FrrLab(Lab):
    """A lab with machines."""

    def __init__(self, name, directory, tag="f"):
        super().__init__(name, directory, tag)
        self.drivers = {r["name"]: r["driver"] for r in self.document["routers"]}
        self.site = {r["name"]: r["site"] for r in self.document["routers"]}

    def shell(self, router, script):
        done = self.enter(router, "sh", "-c", script)
        assert done.returncode == 0, f"{router}: {script}: {done.stdout}{done.stderr}"
        return done.stdout

    def has_frr(self, router):
        return self.drivers[router]["type"] == "frr"

    def running(self, router):
        """The running configuration, without the frame that only the command prints."""
        text = self.vtysh(router, "show running-config")
        return text.split(CONFIGURATION, 1)[1]

    def ssh(self, router, *options):
        """The beginning of a command line that runs over SSH, as an engineer has it in a script."""
        return ["ip", "netns", "exec", router, "ssh", "-F", "none", "-o", "BatchMode=yes", "-i", f"{RUN}/{self.name}/id_ed25519",
                "-o", f"UserKnownHostsFile={RUN}/{self.name}/known_hosts", *options, "root@127.0.0.1"]

    def daemon(self, router, name):
        """The pid, on this machine, of a daemon of a router: FRR's, or "sshd" for the one that listens; None:
        not there.
        """
        inside = self.enter(router, "cat", "/run/sshd.pid" if name == "sshd" else f"/run/frr/{name}.pid").stdout.strip()
        namespace = os.readlink(f"/proc/{self.pid(router)}/ns/pid") if inside else None
        for pid in filter(str.isdigit, os.listdir("/proc")) if inside else ():
            try:
                with open(f"/proc/{pid}/status", encoding="utf-8") as f:
                    numbers = re.search(r"^NSpid:(.*)", f.read(), re.M)[1].split()
                if numbers[-1] == inside and len(numbers) > 1 and os.readlink(f"/proc/{pid}/ns/pid") == namespace:
                    return int(pid)
            except OSError:
                continue  # it has ended meanwhile
        return None

    # ---- Everything that must come back ----

    def kernel(self, router):
        routes = [json.loads(ip("-n", router, *family, "-j", "route", "show", "table", "all")) for family in ([], ["-6"])]
        addresses = json.loads(ip("-n", router, "-j", "addr", "show"))
        return [json.dumps(without(part, {"nhid"})) for part in (*routes, addresses)]

    def state(self, router):
        """As labtool's, of machines: kernel, and of FRR the configuration that runs, the one on disk, and the RIB."""
        if "transport" not in self.drivers[router]:
            return super().state(router)
        parts = self.kernel(router)
        if self.has_frr(router):
            saved = self.shell(router, "stat -c '%a %U %G' /etc/frr/frr.conf; cat /etc/frr/frr.conf")
            parts.append(json.dumps(saved.splitlines()))
            # One vtysh: each costs as much processor time to start as everything else here together.
            said = self.vtysh(router, "show running-config", "show ip route json", "show ipv6 route json")
            running, said = said.split(CONFIGURATION, 1)[1].split("\nend\n", 1)
            parts.append(json.dumps(running.splitlines()))
            for _ in ("ip", "ipv6"):
                rib, end = json.JSONDecoder().raw_decode(said.lstrip())
                said = said.lstrip()[end:]
                parts.append(json.dumps([{p: without(routes, FLEETING)} for p, routes in sorted(rib.items())]))
        return parts

    def saved(self, router):
        """Whether the configuration on disk is the one that runs."""
        disk = [line for line in self.shell(router, "cat /etc/frr/frr.conf").splitlines() if line not in ("!", "end")]
        return disk == [line for line in self.running(router).splitlines() if line not in ("!", "end")]

    def attached(self, address="192.168.1.1"):
        """The routers that have a gateway's address."""
        return [r for r in self.routers if re.search(rf"inet6? {re.escape(address)}/", ip("-n", r, "addr", "show"))]

    # ---- Who answers ----

    def hosts(self, name):
        """Namespaces of the machines of a name, by the router they stand behind."""
        host = next(h for h in self.document["lab"]["hosts"] if h["name"] == name)
        return {at.split(":")[0]: f"{name}.{at.split(':')[0]}" for at in host["at"]}


class Stream:
    """A client's datagrams while something happens; `with` starts the echoes and the stream, `stop()` tells what
    came.
    """

    def __init__(self, lab, client, address, machine, period_us=1000):
        self.lab, self.client, self.address, self.machine, self.period_us = lab, client, address, machine, period_us
        self.processes = []

    def start(self, netns, *words):
        process = subprocess.Popen(["ip", "netns", "exec", netns, sys.executable, os.path.abspath(__file__), *map(str, words)],
                                   stdout=subprocess.PIPE, text=True)
        self.processes.append(process)
        assert process.stdout.readline() == "ready\n", f"{words} did not start in {netns}"
        return process

    def __enter__(self):
        try:
            for router, netns in self.lab.hosts(self.machine).items():
                self.start(netns, "echo", self.lab.site[router])
            self.stream = self.start(self.client, "stream", self.address, self.period_us)
        except BaseException:
            self.__exit__()
            raise
        return self

    def stop(self):
        """{sent, lost, duplicates, outage_ms, dark_ms, ends_lost, sites}.  `outage_ms`: the longest from a lost one to
        the next that was answered; `dark_ms`: all times from a first lost one to the last one in a row, which no
        stopwatch makes longer that waits for the processor.  `sites` is who answered, in the order of asking,
        repetitions left out.
        """
        self.stream.send_signal(signal.SIGTERM)
        return json.loads(self.stream.communicate(timeout=60)[0])

    def __exit__(self, *_):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stdout.close()


# ---- The two programs ----

def urgent(pid=0):
    """Before others: a stopwatch that waits for the processor measures the processor."""
    try:
        os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(10))
    except PermissionError as why:  # a control group may have no share of it
        os.setpriority(os.PRIO_PROCESS, pid, -20)
        print(f"no real-time priority ({why}): outages may be overstated", file=sys.stderr)


def patient(s):
    """What waits for us is not to be lost: it would count as the network's."""
    s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)


def echo(site):
    urgent()
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
        patient(s)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        s.bind(("::", PORT))
        print("ready", flush=True)
        while True:
            data, sender = s.recvfrom(100)
            try:
                s.sendto(data + site.encode(), sender)
            except OSError:
                pass  # no way back at this moment: lost, like a packet


def stream(address, period_us):
    urgent()
    stop, sent, answers, duplicates = [], [], {}, 0
    signal.signal(signal.SIGTERM, lambda *_: stop.append(time.monotonic() + 0.2))
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setblocking(False)
        patient(s)
        s.bind(("", 0))
        due = time.monotonic()
        # An answer that is late is not lost: the last one is waited for.
        while not stop or time.monotonic() < stop[0] + (0 if len(sent) - 1 in answers else 2):
            now = time.monotonic()
            if now >= due and not stop:
                sent.append(now)
                try:
                    s.sendto(struct.pack("!I", len(sent) - 1), (address, PORT))
                except OSError:
                    pass  # refused: lost, like a packet
                due += period_us / 1e6
                continue
            if not select.select([s], [], [], 0.01 if stop else due - now)[0]:
                continue
            try:
                data = s.recv(100)
            except OSError:
                continue  # an ICMP error about an earlier one
            number, site = struct.unpack("!I", data[:4])[0], data[4:].decode()
            duplicates += number in answers
            answers[number] = site
            if len(answers) == 1:
                print("ready", flush=True)
    print(json.dumps(judge(sent, answers, duplicates)))


def judge(sent, answers, duplicates):
    sites, outage, dark, since = [], 0.0, 0.0, None
    for number, moment in enumerate(sent):
        if number not in answers:
            since = moment if since is None else since
            last = moment
            continue
        if since is not None:
            outage, dark, since = max(outage, moment - since), dark + last - since, None
        if sites[-1:] != [answers[number]]:
            sites.append(answers[number])
    return {"sent": len(sent), "lost": len(sent) - len(answers), "duplicates": duplicates, "outage_ms": outage * 1000,
            "dark_ms": dark * 1000, "ends_lost": since is not None, "sites": sites}


if __name__ == "__main__":
    if sys.argv[1] == "echo":
        echo(sys.argv[2])
    else:
        stream(sys.argv[2], int(sys.argv[3]))
