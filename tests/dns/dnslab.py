"""Real BIND: a primary with TSIG and a secondary (Bind); beside simulated routers and ferry in a namespace of
the test's own (Lab).
"""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "scenario"))
from clitool import FERRY, THREE_SITES, Cli  # noqa: E402

SECRET = "RmVycnlDYW5hcnlTZWNyZXQxMjM0NTY3ODkwYWJjZGU="
ZONES = {
    "example.test": "app 3600 A 192.168.1.10\nweb A 192.168.1.20\nweb A 10.9.9.9\nsix AAAA fd00:1::10\n",
    "168.192.in-addr.arpa": "10.1 PTR app.example.test.\n20.1 PTR web.example.test.\n",
    "16.172.in-addr.arpa": "",
}


def networks(document):
    """app and web are on the primary site's network; at the recovery site there are other addresses."""
    document["servers"] = [{"name": "vmm1", "site": "primary"}, {"name": "vmm2", "site": "recovery"}]
    document["logical-networks"] = [{"name": "log1"}, {"name": "log2"}]
    document["vm-networks"] = [
        {"name": "net1", "logical-network": "log1", "server": "vmm1", "subnets": [{"name": "a", "prefix": "192.168.1.0/24"}],
         "pool": ["192.168.1.10-192.168.1.99"]},
        {"name": "net2", "logical-network": "log2", "server": "vmm2", "subnets": [{"name": "a", "prefix": "172.16.1.0/24"}],
         "pool": ["172.16.1.10-172.16.1.99"]}]
    document["mappings"] = [{"source": "net1", "target": "net2"}]
    document["workloads"] = [
        {"name": "App1", "network": "net1", "address": "192.168.1.10", "dns": [{"name": "app.example.test", "ttl": 3600}]},
        {"name": "Web1", "network": "net1", "address": "192.168.1.20", "dns": "web.example.test"},
        {"name": "Quiet", "network": "net1", "address": "192.168.1.30"}]
    document["name-servers"] = [
        {"name": "ns1", "site": "third", "address": "127.0.0.1", "key-file": "key", "zones": list(ZONES),
         "secondaries": ["127.0.0.2"]}]


class Bind:
    """BIND twice: a primary that takes updates with TSIG, and its secondary.  Whoever inherits has a `directory`
    for their files, and says how a program gets into the namespace of an address (`server_argv`).
    """
    primary, secondary = "127.0.0.1", "127.0.0.2"
    zones = ZONES

    def start_servers(self):
        self.named = {}
        self.write("key", f'key "ferry" {{ algorithm hmac-sha256; secret "{SECRET}"; }};\n', 0o600)
        for address in (self.primary, self.secondary):
            self.configure(address)
            self.start_named(address)

    def file_at(self, name):
        return os.path.join(self.directory, name)

    def write(self, name, text, mode=0o644):
        path = self.file_at(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, mode)

    def configure(self, address):
        first = address == self.primary
        text = (f'include "{self.file_at("key")}";\ncontrols {{}};\noptions {{ directory "{self.file_at(address)}"; pid-file none; '
                f"session-keyfile none; listen-on-v6 {{ none; }}; listen-on {{ {address}; }}; recursion no; dnssec-validation no; "
                f"notify explicit; notify-delay 0; empty-zones-enable no; "
                f"{'notify-source' if first else 'transfer-source'} {address}; }};\n")
        for zone, records in self.zones.items():
            if first:
                text += (f'zone "{zone}" {{ type primary; file "{zone}"; allow-update {{ key ferry; }}; '
                         f"also-notify {{ {self.secondary}; }}; }};\n")
                self.write(f"{address}/{zone}", "$TTL 300\n@ SOA ns.example.test. h.example.test. 1 3600 600 86400 60\n"
                           f"@ NS ns.example.test.\n{records}" + (f"ns A {address}\n" if zone == "example.test" else ""))
            else:
                text += f'zone "{zone}" {{ type secondary; file "{zone}"; primaries {{ {self.primary}; }}; }};\n'
                os.makedirs(self.file_at(address), exist_ok=True)
        self.write(f"{address}.conf", text)

    def start_named(self, address):
        with open(self.file_at(f"{address}.log"), "ab") as log:
            self.named[address] = subprocess.Popen(
                self.server_argv(address, "named", "-4", "-n", "1", "-g", "-c", self.file_at(f"{address}.conf")), stdout=log, stderr=log)
        until(lambda: all(self.dig(zone, "NS", at=address) for zone in self.zones))

    def stop_named(self, address):
        process = self.named.pop(address)
        process.kill()
        process.wait()

    def stop_servers(self):
        for address in list(self.named):
            self.stop_named(address)

    def answers_of(self, at, *question):
        """What a server answers: a list of the words of each record.  Asked in its own namespace."""
        out = subprocess.run(self.server_argv(at, "dig", "+norec", "+tcp", "+noall", "+answer", "+time=20", "+tries=1", f"@{at}",
                                              *question), check=False, capture_output=True, text=True, timeout=60).stdout
        return [line.split() for line in out.splitlines() if line and not line.startswith(";")]

    def dig(self, name, kind="A", at=None):
        """(TTL, sorted data), or None."""
        rows = self.answers_of(at or self.primary, name, kind)
        return (int(rows[0][1]), sorted(r[4] for r in rows)) if rows else None

    def both(self, name, kind="A"):
        """The same at both servers."""
        first, second = self.dig(name, kind), self.dig(name, kind, at=self.secondary)
        assert first == second, f"{name}: {first} at the primary, {second} at the secondary"
        return first


class Lab(Bind, Cli):
    def __init__(self, directory, change=None):
        super().__init__(directory, THREE_SITES)
        self.edit(networks)
        self.edit(lambda d: d["name-servers"][0].update({"key-file": self.path("key")}))
        if change:
            self.edit(change)
        self.holder = subprocess.Popen(["unshare", "-n", "sleep", "3600"])
        until(lambda: os.readlink(f"/proc/{self.holder.pid}/ns/net") != os.readlink("/proc/self/ns/net"))
        self.inside("sh", "-c", "ip link set lo up && ip addr add 127.0.0.2/8 dev lo")
        self.start_servers()

    def enter(self, *argv):
        return ["nsenter", "-t", str(self.holder.pid), "-n", "--", *map(str, argv)]

    def inside(self, *argv, **kwargs):
        return subprocess.run(self.enter(*argv), check=True, capture_output=True, text=True, timeout=60, **kwargs).stdout

    def server_argv(self, _address, *argv):
        return self.enter(*argv)

    def everything(self):
        return {name: self.both(name, kind) for name, kind in
                [("app.example.test", "A"), ("web.example.test", "A"), ("10.1.168.192.in-addr.arpa", "PTR"),
                 ("20.1.168.192.in-addr.arpa", "PTR"), ("10.1.16.172.in-addr.arpa", "PTR"),
                 ("11.1.16.172.in-addr.arpa", "PTR")]}

    def update(self, lines):
        self.inside("nsupdate", "-v", "-k", self.path("key"), input=f"server 127.0.0.1\n{lines}\nsend\n")

    def run(self, *argv, rc=0, env=None, drop=()):
        full = {k: v for k, v in dict(self.env, **(env or {})).items() if k not in drop}
        done = subprocess.run(self.enter(FERRY, *argv), env=full, cwd=self.directory, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False, timeout=200)
        assert rc is None or done.returncode == rc, (f"ferry {' '.join(map(str, argv))}: exit {done.returncode}, not {rc}\n"
                                                     f"{done.stdout}{done.stderr}")
        return done

    def close(self):
        self.stop_servers()
        self.holder.kill()
        self.holder.wait()


def until(test, seconds=60.0):
    end = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.05)
