"""A real sshd in a network namespace, reached from another one over a bridge in a third, for tests of
drivers/remote.

Names carry the process id.  sshd runs in a mount namespace of its own: its /run, /usr/local/sbin and ~/.ssh
are private, root's .bashrc is empty.  The client is build-*/tests/unit/remote-tool, beside $FERRY's build.
"""
import glob
import json
import os
import shutil
import signal
import subprocess
import tempfile

import labtool
from labtool import ip, run, until

HOST = "10.99.7.2"
CLIENT = "10.99.7.1"


def find_tool():
    if labtool.FERRY:
        beside = os.path.join(os.path.dirname(labtool.FERRY), "..", "..", "tests", "unit", "remote-tool")
        if os.path.exists(beside):
            return os.path.realpath(beside)
    built = sorted(glob.glob(os.path.join(labtool.ROOT, "build*", "tests", "unit", "remote-tool")), key=os.path.getmtime)
    return built[-1] if built else None


TOOL = find_tool()
WHY_NOT = ("needs root for network namespaces" if os.geteuid() != 0 else
           "remote-tool is not built" if not TOOL else
           "there is no sshd" if not shutil.which("sshd", path=os.environ.get("PATH", "") + labtool.SBIN) else None)
ROUTER_SCRIPT = os.path.join(os.path.dirname(TOOL), "ferry-router") if TOOL else None


def keygen(path, *options):
    done = run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path, *options)
    assert done.returncode == 0, done.stderr
    return path


def fingerprint(path):
    return run("ssh-keygen", "-lf", path).stdout.split()[1]


class Sshd:
    """One sshd at HOST:port in the lab's server namespace."""

    def __init__(self, lab, port=22, config="", wrapper=None, forced=None, host_key=None, key_types=("ed25519",), user=None):
        self.lab, self.port = lab, port
        self.dir = tempfile.mkdtemp(prefix="sshd-", dir=lab.dir)
        self.host_keys = []
        for kind in key_types:
            path = os.path.join(self.dir, f"host_{kind}")
            if host_key:
                shutil.copy(host_key, path)
                shutil.copy(host_key + ".pub", path + ".pub")
            else:
                keygen(path, "-t", kind)
            self.host_keys.append(path)
        self.authorized = os.path.join(self.dir, "authorized_keys")
        self.authorize(lab.key, forced)
        self.pid_file = os.path.join(self.dir, "pid")
        self.log = os.path.join(self.dir, "log")
        keys = "".join(f"HostKey {path}\n" for path in self.host_keys)
        self.config = os.path.join(self.dir, "config")
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(f"Port {port}\nListenAddress {HOST}\n{keys}AuthorizedKeysFile {self.authorized}\nUsePAM no\n"
                    f"UseDNS no\nPidFile {self.pid_file}\nStrictModes no\nPermitRootLogin prohibit-password\n"
                    f"LogLevel DEBUG1\n{config}\n")
        self.sbin = os.path.join(self.dir, "sbin")
        os.mkdir(self.sbin)
        if wrapper:
            shutil.copy(ROUTER_SCRIPT, os.path.join(self.sbin, "ferry-router"))
        self.users = "true"
        if user:  # known here alone, with no rights of its own
            for name, line in (("passwd", f"{user}:x:64321:64321::/:/bin/sh"), ("group", f"{user}:x:64321:")):
                path = os.path.join(self.dir, name)
                with open(f"/etc/{name}", encoding="utf-8") as f, open(path, "w", encoding="utf-8") as g:
                    g.write(f.read() + line + "\n")
                os.chmod(path, 0o644)
            for path in (lab.dir, self.dir):
                os.chmod(path, 0o755)
            os.chmod(self.authorized, 0o644)
            self.users = f"mount --bind {self.dir}/passwd /etc/passwd && mount --bind {self.dir}/group /etc/group"
        self.process = None
        self.start()

    def authorize(self, key, forced=None):
        with open(key + ".pub", encoding="utf-8") as f:
            public = f.read()
        options = f'restrict,command="{forced}" ' if forced else ""
        with open(self.authorized, "w", encoding="utf-8") as f:
            f.write(options + public)

    def start(self):
        private = (f"{self.users} && mount -t tmpfs -o mode=755 tmpfs /run && mkdir -p /run/sshd && mount --bind {self.sbin} /usr/local/sbin && "
                   "{ [ ! -e /root/.bashrc ] || mount --bind /dev/null /root/.bashrc; } && "
                   f"exec /usr/sbin/sshd -D -f {self.config} -E {self.log}")
        self.process = subprocess.Popen(["ip", "netns", "exec", self.lab.server, "sh", "-c", private], start_new_session=True,
                                        stdin=subprocess.DEVNULL)
        until("sshd", lambda: os.path.exists(self.pid_file), 10)

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def kill_all(self, how=signal.SIGKILL):
        """sshd and every process of its sessions: those of its network namespace that it has started."""
        for pid in children(self.process.pid) + [self.process.pid]:
            try:
                os.kill(pid, how)
            except ProcessLookupError:
                pass
        self.process.wait()
        if os.path.exists(self.pid_file):
            os.remove(self.pid_file)

    def known_hosts(self, name="known_hosts", host=HOST, keys=None):
        path = os.path.join(self.dir, name)
        where = host if self.port == 22 else f"[{host}]:{self.port}"
        with open(path, "w", encoding="utf-8") as f:
            for key in keys or self.host_keys:
                with open(key + ".pub", encoding="utf-8") as k:
                    f.write(f"{where} {k.read()}")
        return path

    def args(self, **more):
        given = {"netns": self.lab.client, "transport": "ssh", "host": HOST, "port": self.port, "user": "root",
                 "identity": self.lab.key, "known_hosts": self.known_hosts()}
        given.update(more)
        return [f"{k}={v}" for k, v in given.items() if v is not None]


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def children(pid):
    """All that descend from it."""
    found, parents = [], {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as f:
                    parents[int(entry)] = int(f.read().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                pass
    todo = [pid]
    while todo:
        parent = todo.pop()
        mine = [p for p, q in parents.items() if q == parent]
        found += mine
        todo += mine
    return found


class RemoteLab:
    """client -- bridge -- server, with a key of its own.  `with` takes it down whatever happens."""

    def __init__(self):
        self.prefix = f"ferry-remote-{os.getpid()}"
        self.client, self.middle, self.server = (f"{self.prefix}-{x}" for x in "cms")
        self.dir = tempfile.mkdtemp(prefix=f"{self.prefix}-")
        self.servers = []

    def __enter__(self):
        try:
            for netns in (self.client, self.middle, self.server):
                ip("netns", "add", netns)
                ip("-n", netns, "link", "set", "lo", "up")
            ip("-n", self.middle, "link", "add", "br0", "type", "bridge")
            ip("-n", self.middle, "link", "set", "br0", "up")
            for netns, address, port in ((self.client, CLIENT, "c"), (self.server, HOST, "s")):
                ip("-n", self.middle, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", netns)
                ip("-n", self.middle, "link", "set", port, "master", "br0", "up")
                ip("-n", netns, "addr", "add", f"{address}/24", "dev", "eth0")
                ip("-n", netns, "link", "set", "eth0", "up")
            self.key = keygen(os.path.join(self.dir, "id"))
            return self
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        for server in self.servers:
            server.kill_all()
        for netns in (self.client, self.middle, self.server):
            for pid in ip("netns", "pids", netns, check=False).split():
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    pass
            ip("netns", "del", netns, check=False)
        shutil.rmtree(self.dir, ignore_errors=True)

    def sshd(self, **options):
        server = Sshd(self, **options)
        self.servers.append(server)
        return server

    def stop(self, server):
        server.kill_all()
        self.servers.remove(server)

    def cut(self):
        """Silently: carriers stay."""
        ip("-n", self.middle, "link", "set", "s", "nomaster")

    def mend(self):
        ip("-n", self.middle, "link", "set", "s", "master", "br0")


class Tool:
    """remote-tool, spoken to line by line."""

    def __init__(self, args, *commands, env=None, before=()):
        argv = list(before) + [TOOL] + list(args)
        for command in commands:
            argv += ["--"] + [str(word) for word in command]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env=env)

    def line(self):
        text = self.process.stdout.readline()
        assert text, self.process.stderr.read()
        return json.loads(text)

    def go_on(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def rest(self, timeout=60):
        out, err = self.process.communicate(timeout=timeout)
        assert self.process.returncode == 0, err
        return [json.loads(line) for line in out.splitlines()]


def tool(args, *commands, env=None, before=(), timeout=60):
    """Runs it to its end; the lines, without the last, which must say that nothing leaked."""
    lines = Tool(args, *commands, env=env, before=before).rest(timeout)
    assert lines[-1] == {"what": "end", "leaked_fds": 0}, lines
    return lines[:-1]
