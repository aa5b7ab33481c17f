"""Routers that somebody else has set up: FRR and plain Linux behind sshd, as an administrator builds them,
without `ferry lab`.

What the contract promises at their edges: `plan --format native` is what vtysh gets, ~ is $HOME, a user of
frrvty with the forced command can move, an unknown host is refused with nothing written, and a controller
that is killed between the two files of a swap leaves something that `recover` can undo.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "netns"))
from frrlab import WHY_NOT  # noqa: E402
from labtool import FERRY, ip, run, until  # noqa: E402

pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))

SCRIPT = os.path.join(os.path.dirname(FERRY or ""), "..", "..", "drivers", "ferry-router")
MOVE = ["--move", "app=recovery"]
LINKS = {"p": {"to-r": "10.255.12.1/30", "to-t": "10.255.13.1/30"}, "r": {"to-p": "10.255.12.2/30", "to-t": "10.255.23.1/30"},
         "t": {"to-p": "10.255.13.2/30", "to-r": "10.255.23.2/30"}}
FRR = {"p": {"lan0": "192.168.1.1/24", **LINKS["p"]}, "t": {"lan0": "192.168.3.1/24", **LINKS["t"]}}
STATIC = {"p": "", "t": "ip route 192.168.1.0/24 10.255.13.1\n"}


class Router:
    """A namespace with mount and UTS namespaces of its own: FRR (zebra, staticd) and sshd as on a machine."""

    def __init__(self, world, name, user="root", forced=False, port=22):
        self.world, self.name, self.user, self.forced, self.port = world, name, user, forced, port
        self.netns, self.dir, self.frr = f"{world.prefix}{name}", os.path.join(world.dir, name), name in FRR
        self.holder = None
        ip("netns", "add", self.netns)
        ip("-n", self.netns, "link", "set", "lo", "up")
        run("ip", "netns", "exec", self.netns, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1",
            "net.ipv6.conf.default.disable_ipv6=1", "net.ipv4.ip_forward=1")

    def write(self, name, text, mode=0o644):
        path = os.path.join(self.dir, name)
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def boot(self):
        interfaces = "".join(f"interface {i}\n ip address {a}\nexit\n" for i, a in FRR.get(self.name, {}).items())
        self.write("frr/frr.conf", f"service integrated-vtysh-config\n{STATIC.get(self.name, '')}{interfaces}", 0o640)
        self.write("frr/vtysh.conf", "service integrated-vtysh-config\n")
        for name in ("run", "log", "lib", "sshd", "sbin"):
            os.makedirs(os.path.join(self.dir, name), exist_ok=True)
        run("chown", "-R", "frr:frr", f"{self.dir}/frr", f"{self.dir}/log")
        run("chown", "frr:frrvty", f"{self.dir}/run")
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{self.dir}/host")
        with open(self.world.key + ".pub", encoding="utf-8") as f:
            self.write("authorized", ('restrict,command="/usr/local/sbin/ferry-router" ' if self.forced else "") + f.read())
        if self.forced:
            shutil.copy(SCRIPT, f"{self.dir}/sbin/ferry-router")
        for name, line in (("passwd", f"{self.user}:x:64321:64321::/:/bin/sh\n"), ("group", f"{self.user}:x:64321:\n")):
            with open(f"/etc/{name}", encoding="utf-8") as f:
                text = re.sub(r"^(frrvty:.*|frr:x:\d+:)$", rf"\1,{self.user}", f.read(), flags=re.M).replace(":,", ":")
            self.write(name, text + (line if self.user != "root" else ""))
        self.write("sshd_config", f"Port {self.port}\nHostKey {self.dir}/host\nAuthorizedKeysFile {self.dir}/authorized\nUsePAM no\n"
                                  f"UseDNS no\nPidFile none\nStrictModes no\n")
        binds = [("frr", "/etc/frr"), ("run", "/run/frr"), ("log", "/var/log/frr"), ("lib", "/var/lib/ferry"), ("sbin", "/usr/local/sbin"),
                 ("passwd", "/etc/passwd"), ("group", "/etc/group")]
        lines = ["set -e", "mount --make-rprivate /", "mount -t tmpfs -o mode=755 tmpfs /run", "mkdir -p /run/sshd /run/frr",
                 "mkdir -p /var/lib/ferry", f"hostname {self.name}", "[ ! -e /root/.bashrc ] || mount --bind /dev/null /root/.bashrc",
                 *(f"mount --bind {self.dir}/{a} {b}" for a, b in binds), f"/usr/sbin/sshd -f {self.dir}/sshd_config"]
        if self.frr:
            lines += ["/usr/lib/frr/zebra -d -A 127.0.0.1 -s 90000000", "/usr/lib/frr/staticd -d -A 127.0.0.1", "vtysh -b >&2"]
        self.holder = subprocess.Popen(["ip", "netns", "exec", self.netns, "unshare", "-u", "-m", "sh", "-c",
                                        "\n".join(lines) + "\necho up\nexec sleep 1000"], stdout=subprocess.PIPE, text=True)
        assert self.holder.stdout.readline() == "up\n"

    def sh(self, script, text=""):
        return run("nsenter", "-t", self.holder.pid, "-m", "-u", "-n", "sh", "-c", script, input=text).stdout

    def running(self):
        return self.sh("vtysh -c 'show running-config'") if self.frr else ""

    def state(self):
        routes = ip("-n", self.netns, "-N", "-d", "route", "show", "table", "all")
        return [sorted(re.sub(r"nhid \d+ ", "", line).strip() for line in routes.splitlines()), ip("-n", self.netns, "-o", "-4", "addr"), self.running()]

    def host(self):
        with open(f"{self.dir}/host.pub", encoding="utf-8") as f:
            key = " ".join(f.read().split()[:2])
        address = self.world.address(self.name)
        return f"{address} {key}\n" if self.port == 22 else f"[{address}]:{self.port} {key}\n"

    def down(self):
        for pid in ip("netns", "pids", self.netns, check=False).split():
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self.holder:
            self.holder.wait()
            self.holder.stdout.close()
        ip("netns", "del", self.netns, check=False)


class World:
    """Three routers and a controller in a namespace that reaches them by links of their own."""

    def __init__(self, **users):
        self.prefix = f"ferry-byhand-{os.getpid()}-{users.get('user', 'root')[0]}-"
        self.dir = tempfile.mkdtemp(prefix=self.prefix)
        os.chmod(self.dir, 0o755)
        self.key, self.known, self.file = (os.path.join(self.dir, n) for n in ("id", "known_hosts", "site.json"))
        self.controller = self.prefix + "c"
        self.users, self.routers = users, {}

    @staticmethod
    def address(name):
        return f"10.77.{'prt'.index(name) + 1}.2"

    def __enter__(self):
        try:
            self.build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def build(self):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key)
        ip("netns", "add", self.controller)
        for name in "prt":
            self.routers[name] = Router(self, name, port=2222 if name == "p" else 22, **(self.users if name == "p" else {}))
        for a, b in ("pr", "pt", "rt"):
            ip("-n", self.prefix + a, "link", "add", f"to-{b}", "type", "veth", "peer", "name", f"to-{a}", "netns", self.prefix + b)
        for i, name in enumerate("prt", 1):
            ip("-n", self.controller, "link", "add", f"m{i}", "type", "veth", "peer", "name", "mgmt", "netns", self.prefix + name)
            ip("-n", self.controller, "addr", "add", f"10.77.{i}.1/30", "dev", f"m{i}")
            ip("-n", self.controller, "link", "set", f"m{i}", "up")
            ip("-n", self.prefix + name, "addr", "add", f"10.77.{i}.2/30", "dev", "mgmt")
            ip("-n", self.prefix + name, "link", "add", "lan0", "type", "veth", "peer", "name", "host0")
            for device in [*LINKS[name], "mgmt", "lan0", "host0"]:
                ip("-n", self.prefix + name, "link", "set", device, "up")
        for router in self.routers.values():
            router.boot()
        for device, address in LINKS["r"].items():
            ip("-n", self.prefix + "r", "addr", "add", address, "dev", device)
        ip("-n", self.prefix + "r", "route", "add", "192.168.1.0/24", "via", "10.255.12.1", "metric", "30")
        with open(self.known, "w", encoding="utf-8") as f:
            f.writelines(r.host() for r in self.routers.values())
        self.save()
        until("FRR's static route", lambda: "192.168.1.0/24" in ip("-n", self.prefix + "t", "route"), 60)
        for router in self.routers.values():
            if router.frr:
                router.sh("vtysh -c 'write memory'")

    def save(self, **leave):
        routers = []
        for name, site in zip("prt", ("primary", "recovery", "third")):
            router = self.routers[name]
            driver = {"type": "frr" if router.frr else "iproute", "transport": "ssh", "host": self.address(name), "port": router.port,
                      "user": router.user, "identity": self.key, "known_hosts": self.known, **leave}
            interfaces = [{"name": "lan0"}, *({"name": i, "addresses": [a]} for i, a in LINKS[name].items())]
            routers.append({"name": name, "site": site, "driver": {k: v for k, v in driver.items() if v}, "interfaces": interfaces})
        gateways = [{"router": r, "interface": "lan0", "address": "192.168.1.1/24"} for r in "pr"]
        with open(self.file, "w", encoding="utf-8") as f:
            json.dump({"ferry": 1, "name": "by-hand", "sites": [{"name": r["site"]} for r in routers], "routers": routers,
                       "links": [{"endpoints": [f"{a}:to-{b}", f"{b}:to-{a}"]} for a, b in ("pr", "pt", "rt")],
                       "subnets": [{"name": "app", "prefix": "192.168.1.0/24", "home": "primary", "gateways": gateways}]}, f)

    def start(self, *words, **env):
        full = {k: v for k, v in os.environ.items() if not k.startswith("FERRY_") and k != "SSH_AUTH_SOCK"}
        full.update(FERRY_TOPOLOGY=self.file, FERRY_STATE_DIR=os.path.join(self.dir, "state"), LC_ALL="C.UTF-8", **env)
        return subprocess.Popen(["ip", "netns", "exec", self.controller, FERRY, *words], env=full, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)

    def ferry(self, *words, rc=0, **env):
        process = self.start(*words, **env)
        out, err = process.communicate(timeout=180)
        assert process.returncode == rc, f"ferry {' '.join(words)}: exit {process.returncode}, not {rc}\n{out}{err}"
        return out

    def state(self):
        return {name: router.state() for name, router in self.routers.items()}

    def __exit__(self, *_):
        for router in self.routers.values():
            router.down()
        ip("netns", "del", self.controller, check=False)
        shutil.rmtree(self.dir, ignore_errors=True)


@pytest.fixture(scope="module", name="world")
def a_world():
    with World() as world:
        yield world


def feed(world, native):
    """What a person does with `plan --format native`: each paragraph to the router that it names."""
    for router, lines in re.findall(r"^# stage \d/\d \w+ — (\w+)\n((?:[^#\n].*\n)+)", native, flags=re.M):
        said = world.routers[router].sh("vtysh -f /dev/stdin 2>&1" if router in FRR else "sh -e 2>&1", lines)
        assert not [line for line in said.splitlines() if not re.match(r"\[\d+\|", line)], f"{router}: {lines}{said}"


def test_native_is_what_the_routers_get(world):
    before = world.state()
    there = world.ferry("plan", *MOVE, "--format", "native")
    back = world.ferry("plan", *MOVE, "--format", "native", "--reverse")
    world.ferry("apply", *MOVE, "--yes")
    after = world.state()
    world.ferry("rollback", "--yes")
    assert world.state() == before != after
    head = there.split("\n\n")[0]
    assert "no script" in head and "%" not in world.routers["p"].sh("vtysh -f /dev/stdin 2>&1", head), "to vtysh, a comment"
    feed(world, there)
    until("the same as apply made", lambda: world.state() == after, 60)
    feed(world, back)
    until("the state before", lambda: world.state() == before, 60)


def test_home_holds_keys_and_known_hosts(world):
    home = os.path.join(world.dir, "home")
    os.makedirs(os.path.join(home, ".ssh"))
    shutil.copy(world.key, os.path.join(home, ".ssh", "id_ed25519"))
    shutil.copy(world.known, os.path.join(home, ".ssh", "known_hosts"))
    world.save(identity=None, known_hosts=None)
    try:
        assert json.loads(world.ferry("status", "--json", HOME=home))["subnets"][0]["active"] == "primary"
        empty = json.loads(world.ferry("apply", *MOVE, "--yes", "--json", HOME=world.dir, rc=4))["error"]
        assert empty["rule"] == "unreachable" and "ssh-keyscan" in empty["message"]
    finally:
        world.save()


def test_no_route_is_called_down_without_a_reason(world):
    assert "linkdown" not in world.ferry("trace", "192.168.1.10", "--from", "t")


def test_killed_within_a_swap(world):
    """Between the file that adds the new next hop and the one that takes the old one away."""
    before, seen = world.state(), 0
    for _ in range(25):
        process = world.start("apply", *MOVE, "--yes")
        for line in process.stderr:
            if line.startswith("applying"):
                break
        time.sleep(0.03)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        here = world.routers["t"].running()
        seen += " 10.255.13.1" in here and " 10.255.23.1" in here
        world.ferry("recover")
        if world.state() != before:
            world.ferry("rollback", "--yes")
        assert world.state() == before
        if seen:
            return
    pytest.skip("it was never killed between the two")


def test_a_user_of_frrvty_can_move():
    with World(user="netops", forced=True) as world:
        before = world.state()
        shown = json.loads(world.ferry("apply", *MOVE, "--yes", "--json", rc=6))
        assert shown["state"] == "committed"  # but only root can keep a copy of frr.conf
        assert [(h["router"], h["key"]) for h in shown["needs_hand"]] == [("p", "saved configuration")]
        assert json.loads(world.ferry("status", "--json"))["needs_hand"] == shown["needs_hand"]
        world.ferry("rollback", "--yes")  # what is on disk is what runs again
        assert world.state() == before
