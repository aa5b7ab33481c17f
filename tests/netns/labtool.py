"""Labs for tests: an example topology under names of its own, built, driven and compared.

Names carry the process id, so that tests never touch a lab that somebody has up.  Used by test_lab.py and by
tests/scenario/test_move_lab.py.  The program is $FERRY, or build-*/controller/ui/ferry, newest first.
"""
import difflib
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOPOLOGIES = os.path.join(ROOT, "topologies")
SBIN = ":/usr/sbin:/sbin"
RUN = "/run/ferry/lab"
RECORDS = "/var/lib/ferry/deadman"  # of routers' timers


def find_ferry():
    if os.environ.get("FERRY"):
        return os.path.abspath(os.environ["FERRY"])
    built = sorted(glob.glob(os.path.join(ROOT, "build*", "controller", "ui", "ferry")), key=os.path.getmtime)
    return built[-1] if built else None


# Told to end, as `timeout` does, a test or a benchmark leaves its `with` blocks like one that is interrupted:
# labs go down.  And what is interrupted here can be so, also in the background of a script.
signal.signal(signal.SIGTERM, signal.default_int_handler)
signal.signal(signal.SIGINT, signal.default_int_handler)

FERRY = find_ferry()
WHY_NOT = ("needs root for network namespaces" if os.geteuid() != 0 else
           None if FERRY and os.path.exists(FERRY) else "the program ferry is not built")


def run(*argv, **kwargs):
    return subprocess.run([str(a) for a in argv], capture_output=True, text=True, check=False, timeout=120, **kwargs)


def ip(*argv, check=True):
    done = run("ip", *argv)
    assert not check or done.returncode == 0, f"ip {' '.join(map(str, argv))}: {done.stderr}"
    return done.stdout


def namespaces(pid=None):
    """Those of one process's labs, else of this one's: others may come and go beside it."""
    own = re.compile(rf"(?<!\d){pid or os.getpid()}-")
    return sorted(line.split()[0] for line in ip("netns", "list").splitlines() if own.search(line))


def differences(before, after):
    """What differs between two results of Lab.states(), line by line, for people; empty where nothing does."""
    lines = []
    for router in sorted(set(before) | set(after)):
        for old, new in zip(before.get(router, []), after.get(router, [])):
            if old != new:
                a, b = ([json.dumps(item) for item in json.loads(text)] for text in (old, new))
                lines += [f"{router}: {line}" for line in difflib.unified_diff(a, b, "before", "after", "", "", 0, "")]
                lines += [] if a != b else [f"{router}: the same objects, other bytes"]
    return "\n".join(lines)


def unordered(states):
    """Where several subnets share a LAN: in which order the kernel lists its addresses follows from who came last."""
    for state in states.values():
        links = json.loads(state[2])
        for link in links:
            link["addr_info"] = sorted(link.get("addr_info", []), key=json.dumps)
        state[2] = json.dumps(links)
    return states


def settled(routes, links):
    """Whether each IPv6 address has its local route: the kernel puts that in from a work queue, a moment after the address.
    Of a router's state, the two parts in question.
    """
    local = {(route["dst"], route["dev"]) for route in json.loads(routes) if route.get("type") == "local"}
    return all((a["local"], link["ifname"]) in local for link in json.loads(links) for a in link.get("addr_info", [])
               if a["family"] == "inet6")


def until(what, test, seconds=30.0, pause=0.02):
    """Polls with a deadline; returns what `test` returned."""
    end = time.monotonic() + seconds
    while True:
        got = test()
        if got:
            return got
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(pause)


class Lab:
    """An example topology of topologies/, renamed; `with` takes it down whatever happens."""

    def __init__(self, name, directory, tag="t"):
        with open(os.path.join(TOPOLOGIES, name + ".json"), encoding="utf-8") as f:
            text = f.read()
        self.prefix = f"ferry-{tag}{os.getpid()}-"
        original = json.loads(text)
        for router in original["routers"]:
            text = re.sub(rf'"([\w-]+\.)?{re.escape(router["name"])}(?=[":])', rf'"\1{self.prefix}{router["name"]}', text)
        text = re.sub(rf'("name": *)"{re.escape(original["name"])}"', rf'\1"{self.prefix}{original["name"]}"', text, count=1)
        self.document = json.loads(text)
        self.name = self.document["name"]
        self.document = json.loads(text.replace(f'{RUN}/{original["name"]}/', f"{RUN}/{self.name}/"))
        self.directory = str(directory)
        self.file = os.path.join(self.directory, name + ".json")
        self.state_dir = os.path.join(self.directory, "state")
        self.env = dict(os.environ, FERRY_TOPOLOGY=self.file, FERRY_STATE_DIR=self.state_dir, FERRY_COLOR="never",
                        PATH=os.environ["PATH"] + SBIN)
        self.routers = [r["name"] for r in self.document["routers"]]
        self.save()

    def save(self):
        with open(self.file, "w", encoding="utf-8") as f:
            json.dump(self.document, f, indent=1)

    def router(self, short):
        return self.prefix + short

    def host(self, host, router):
        return f"{host}.{self.prefix}{router}"

    @property
    def record(self):
        return f"{RUN}/{self.name}.json"

    # ---- The program ----

    def ferry(self, *argv, rc=0, env=None, **kwargs):
        done = run(FERRY, *argv, env=dict(self.env, **(env or {})), **kwargs)
        expected = rc if isinstance(rc, (tuple, list)) else (rc,)
        assert done.returncode in expected, (f"ferry {' '.join(map(str, argv))}: exit {done.returncode}, not {rc}\n"
                                             f"{done.stdout}{done.stderr}")
        return done

    def json(self, *argv, rc=0, **kwargs):
        return json.loads(self.ferry(*argv, "--json", rc=rc, **kwargs).stdout)

    def command(self, verb):
        """Other labs may be at work for longer than the program waits for them (8)."""
        return until(f"lab {verb}", lambda: next((done for done in [self.ferry("lab", verb, self.file, rc=(0, 8))]
                                                  if done.returncode == 0), None), 300)

    def up(self):
        return self.command("up")

    def down(self):
        return self.command("down")

    def __enter__(self):
        try:
            self.up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.down()
        for path in glob.glob(f"{RECORDS}/{self.prefix}*"):
            shutil.rmtree(path, ignore_errors=True)  # a timer may go by itself at this moment

    # ---- Machines: routers with daemons, in namespaces of their own ----

    def path(self, netns, *names):
        """A file of a machine, as seen from here; inside it is /run/lab/…."""
        return os.path.join(RUN, self.name, netns, *names)

    def pid(self, netns):
        """The first process of a machine."""
        with open(self.record, encoding="utf-8") as f:
            return next(p["pid"] for p in json.load(f)["processes"] if p["namespace"] == netns)

    def enter(self, netns, *argv, **kwargs):
        """Runs a program inside a machine."""
        return run("nsenter", "-t", self.pid(netns), "-m", "-u", "-n", "-p", "--", *argv, **kwargs)

    def vtysh(self, router, *commands):
        done = self.enter(router, "vtysh", *[word for c in commands for word in ("-c", c)])
        assert done.returncode == 0, f"{router}: {commands}: {done.stdout}{done.stderr}"
        return done.stdout

    def reboot(self, router):
        """Pulls the plug of a machine that runs FRR: no process ends in order, the kernel forgets, and it boots
        anew.
        """
        with open(self.record, encoding="utf-8") as f:
            record = json.load(f)
        entry = next(p for p in record["processes"] if p["namespace"] == router)
        os.kill(entry["pid"], signal.SIGKILL)
        until("the machine to be gone", lambda: not os.path.exists(f"/proc/{entry['pid']}/ns/pid"))
        # The cables stay: a carrier that is away for less than a moment confuses the FRR at the other end.
        ip("-n", router, "nexthop", "flush")  # and with them zebra's routes
        for link in json.loads(ip("-n", router, "-j", "link", "show")):
            ip("-n", router, "address", "flush", "dev", link["ifname"])
        ip("-n", router, "address", "add", "127.0.0.1/8", "dev", "lo")
        os.unlink(self.path(router, "ready"))
        with open(self.path(router, "boot.log"), "a", encoding="utf-8") as log:
            parent = subprocess.Popen(  # pylint: disable=consider-using-with; it lives as long as the machine
                ["ip", "netns", "exec", router, "unshare", "-m", "-u", "-p", "--fork", "sh", self.path(router, "boot")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        until("the machine to boot", lambda: os.path.exists(self.path(router, "ready")))
        with open(f"/proc/{parent.pid}/task/{parent.pid}/children", encoding="ascii") as f:
            entry["pid"] = int(f.read().split()[0])
        with open(f"/proc/{entry['pid']}/stat", encoding="ascii") as f:
            entry["start"] = int(f.read().rpartition(")")[2].split()[19])
        with open(self.record, "w", encoding="utf-8") as f:
            json.dump(record, f)

    # ---- The routers ----

    def state(self, router):
        """Everything that must come back: routes of all tables in both families, addresses, rules."""
        parts = [["-d", "-j", "route", "show", "table", "all"], ["-d", "-j", "-6", "route", "show", "table", "all"],
                 ["-j", "addr", "show"], ["-j", "rule", "show"], ["-j", "-6", "rule", "show"]]
        for _ in range(500):
            state = [ip("-n", router, *part) for part in parts]
            if settled(state[1], state[2]):
                break
            time.sleep(0.01)
        return state

    def states(self):
        return {router: self.state(router) for router in self.routers}

    def inside(self, netns, *argv):
        return run("ip", "netns", "exec", netns, *argv)

    def answers(self, netns, address):
        done = self.inside(netns, "ping", "-q", "-c", "1", "-w", "5", address)
        return done.returncode == 0

    def loops(self):
        """Packets that ran out of hops on any router, both families."""
        total = 0
        for router in self.routers:
            v4 = self.inside(router, "grep", "^Icmp:", "/proc/net/snmp").stdout.splitlines()
            total += int(dict(zip(v4[0].split(), v4[1].split()))["OutTimeExcds"])
            v6 = self.inside(router, "grep", "Icmp6OutTimeExcds", "/proc/net/snmp6").stdout.split()
            total += int(v6[1]) if v6 else 0
        return total
