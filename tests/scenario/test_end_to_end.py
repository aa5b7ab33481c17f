"""End to end: three sites on real kernels, BIND with TSIG, a plan in which one subnet is retained, one stretched
and one re-addressed (topologies/end-to-end.json).  Clients at the third site reach machines by address, 1,000
times a second, and by name, while it fails over, fails back and is drilled; then DNS, routes and addresses
are compared with what they were.

Who starts the machines is not Ferry: a hook (MACHINE below) gives the replica of db-1 its address before the
records lead there, and takes the original's away after; its undo does the opposite.
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "netns"), os.path.join(HERE, "..", "dns")]
import labtool  # noqa: E402
from dnslab import SECRET, Bind  # noqa: E402
from frrlab import urgent  # noqa: E402
from labtool import Lab, differences, ip, namespaces, unordered, until  # noqa: E402
from outages import OUTAGE_MS, Pings, moved  # noqa: E402

NEEDED = ("named", "dig", "ping")
pytestmark = [pytest.mark.skipif(labtool.WHY_NOT is not None, reason=str(labtool.WHY_NOT)),
              pytest.mark.skipif(not all(map(shutil.which, NEEDED)), reason="needs bind9, bind9-dnsutils and iputils-ping")]

TTL_S = 1  # lowered to, ahead of the move
HOLD_S = 3 * TTL_S  # of a drill: who keeps an answer for the TTL asks again meanwhile, even after an answer that is waited for
WAIT_MS = 500  # for an answer, of nametraffic.py
ALL = [word for kind in ("Retained", "Stretched", "Changed") for word in ("--network", f"{kind}-Primary")]
PROBES = ["--probe", "192.168.1.10", "--probe", "192.168.2.10"]
APP, WEB, DB, DB_THERE = "192.168.1.10", "192.168.2.10", "192.168.5.10", "172.16.1.10"
NAMES = {"app.example.test": APP, "web.example.test": WEB, "db.example.test": DB}
ZONES = {
    "example.test": "app 3600 A 192.168.1.10\nweb 3600 A 192.168.2.10\ndb 3600 A 192.168.5.10\nstandby 3600 A 192.168.5.11\n"
                    "other A 192.168.5.77\n",
    "168.192.in-addr.arpa": "10.1 PTR app.example.test.\n10.2 PTR web.example.test.\n10.5 PTR db.example.test.\n"
                            "11.5 PTR standby.example.test.\n77.5 PTR other.example.test.\n",
    "16.172.in-addr.arpa": "77.1 PTR other.example.test.\n",
}

# db-1 runs at one site at a time: `start` where it goes to, `stop` where it comes from.  An undo goes to
# where the transaction came from.
MACHINE = """#!/bin/sh
set -e
case $FERRY_ACTION/$1 in
run/start | undo/stop) at=$FERRY_TO ;;
*) at=$FERRY_FROM ;;
esac
case $at in
primary) ns={primary} address=192.168.5.10/24 via=192.168.5.1 ;;
recovery) ns={recovery} address=172.16.1.10/24 via=172.16.1.1 ;;
*) echo "to or from '$at'?"; exit 1 ;;
esac
case $1 in
start) ip -n $ns address replace $address dev eth0 && ip -n $ns route replace default via $via ;;
stop) ip -n $ns address flush dev eth0 scope global ;;
esac
echo "$(date +%s.%N) $FERRY_KIND $FERRY_ACTION $1 $at" >>{log}
"""


class EndLab(Bind, Lab):
    primary, secondary = "192.168.3.53", "192.168.4.53"
    zones = ZONES

    def __init__(self, directory):
        super().__init__("end-to-end", directory, tag="w")
        hook = self.file_at("machine")
        self.document["name-servers"][0]["key-file"] = self.file_at("key")
        start, stop = ({"run": [hook, word], "undo": [hook, other]} for word, other in (("start", "stop"), ("stop", "start")))
        self.document["hooks"] = {"before-settle": [start], "after-settle": [stop]}
        self.save()
        self.write("machine", MACHINE.format(primary=self.host("db-1", "end-primary"), log=self.file_at("machine.log"),
                                             recovery=self.host("db-1-recovery", "end-recovery")), 0o755)
        self.named = {}
        self.hosts = [f"{h['name']}.{at.partition(':')[0]}" for h in self.document["lab"]["hosts"] for at in h["at"]]

    def server_argv(self, address, *argv):
        host = self.host("ns1", "end-third") if address == self.primary else self.host("ns2", "end-recovery")
        return ["ip", "netns", "exec", host, *map(str, argv)]

    def __enter__(self):
        super().__enter__()
        try:
            self.start_servers()
            ip("-n", self.host("db-1-recovery", "end-recovery"), "address", "flush", "dev", "eth0", "scope", "global")  # not running
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.stop_servers()
        super().__exit__()

    def zone_dumps(self):
        """Every record of every zone, with its TTL, at both servers; of the SOA not the serial, which only grows."""
        dumps = {}
        for zone in self.zones:
            for at in (self.primary, self.secondary):
                rows = self.answers_of(at, zone, "AXFR")
                assert rows, f"{at} does not give {zone}"
                dumps[zone, at] = sorted(" ".join(r[:6] + ["-"] + r[7:] if r[3] == "SOA" else r) for r in rows)
            assert dumps[zone, self.primary] == dumps[zone, self.secondary]
        return dumps

    def machines(self):
        """The addresses of every host, and what Ferry says of every machine."""
        return ({host: [(a["local"], a["prefixlen"]) for link in json.loads(ip("-n", host, "-j", "-4", "address", "show", "dev", "eth0"))
                        for a in link["addr_info"]] for host in self.hosts}, self.json("addresses")["addresses"])

    def everything(self):
        return {"routers": unordered(self.states()), "zones": self.zone_dumps(), "machines": self.machines(), "loops": self.loops()}

    def assert_same(self, before, view=lambda states: states):
        """Of the routers what `view` leaves of them; everything else to the letter."""
        now = self.everything()
        different = differences(view(before["routers"]), view(now["routers"]))
        assert not different, different
        for what in ("zones", "machines", "loops"):
            assert now[what] == before[what], what


def whoever_wrote_it(states):
    """A failback is a move like others: its routes are Ferry's own.  Everything but that, and the order that
    follows from it.
    """
    views = {}
    for router, state in states.items():
        routes = [[{k: v for k, v in route.items() if k != "protocol"} for route in json.loads(text)] for text in state[:2]]
        views[router] = [json.dumps(sorted(r, key=json.dumps)) for r in routes] + state[2:]
    return views


class Traffic:
    """By address 1,000 a second, and by name; `with` begins it, and ends it when every name is answered that was
    asked for after the block, and db's leads to the last address of `db` for everybody.
    """

    def __init__(self, lab, *db):
        self.lab, self.db, self.rows, self.lost = lab, db, [], {}
        self.client, self.output = lab.host("client", "end-third"), lab.file_at("names.traffic")

    def __enter__(self):
        self.pings = {address: Pings(self.client, address, self.lab.file_at(f"{address}.traffic")) for address in (APP, WEB)}
        with open(self.output, "w", encoding="utf-8") as out:
            self.names = subprocess.Popen(["ip", "netns", "exec", self.client, sys.executable, os.path.join(HERE, "nametraffic.py"),
                                           f"{self.lab.primary},{self.lab.secondary}", *NAMES],
                                          stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        urgent(self.names.pid)
        try:
            for pings in self.pings.values():
                pings.begun()
            until("the first answers of names", lambda: os.path.getsize(self.output) > 4096, 60)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self):
        self.names.send_signal(signal.SIGTERM)
        self.names.wait(timeout=60)
        for pings in self.pings.values():
            pings.stop()

    def read_names(self):
        with open(self.output, encoding="utf-8") as f:
            self.rows = [line.split() for line in f if line.endswith(("ok\n", "lost\n"))]

    def arrived(self, since):
        """Nobody waits any more for an answer of before, as whoever met an outage does for WAIT_MS."""
        self.read_names()
        last = {(who, name): self.by_name(who, name)[-1] for who in ("asks", "caches") for name in NAMES}
        return all(at > since and good and (name != "db.example.test" or address == self.db[-1])
                   for (_, name), (at, address, good) in last.items())

    def __exit__(self, kind, *_):
        try:
            if not kind:
                since = time.monotonic()
                until("clients to follow the name", lambda: self.arrived(since), 60)
                self.lost = {address: pings.end() for address, pings in self.pings.items()}
        finally:
            self.stop()
        self.read_names()

    def by_name(self, who, name):
        return [(float(r[0]), r[3], r[4] == "ok") for r in self.rows if r[1:3] == [who, name]]

    def outage_by_name_ms(self, who, name):
        """The longest span from a try that failed to the next one that did not."""
        worst, since = 0.0, None
        for at, _, good in self.by_name(who, name):
            worst = max(worst, at - since if good and since else 0.0)
            since = None if good else since or at
        return 1000 * worst

    def assert_good(self, barrier):
        """What must be so of each move, there and back."""
        outage = OUTAGE_MS + sum(barrier)
        assert self.lost[WEB] == 0, f"the stretched subnet lost {self.lost[WEB]}"
        assert self.pings[APP].outage_ms() < outage, f"{self.pings[APP].outage_ms()} ms, {barrier}"
        most = {("asks", "app.example.test"): outage + WAIT_MS, ("caches", "app.example.test"): outage + WAIT_MS,
                # Who asks each time never meets a machine that has gone; who caches does for as long as the TTL.
                ("caches", "db.example.test"): 1000 * TTL_S + outage + WAIT_MS}
        for name, addresses in (("app.example.test", [APP]), ("web.example.test", [WEB]), ("db.example.test", self.db)):
            for who in ("asks", "caches"):
                rows = self.by_name(who, name)
                seen = [row[1] for row in rows]
                assert len(rows) > 10 and rows[-1][2] and set(seen) == set(addresses), (who, name, set(seen), rows[-3:])
                assert seen[0] == addresses[0] and seen[-1] == addresses[-1], (who, name)
                assert self.outage_by_name_ms(who, name) <= most.get((who, name), 0), (who, name, [r for r in rows if not r[2]])


@pytest.fixture(name="lab")
def make_lab(tmp_path):
    before = namespaces()
    with EndLab(tmp_path) as lab:
        yield lab
    assert namespaces() == before, "namespaces were left behind"


def figures(what, traffic):
    """For who runs this with -s."""
    print(f"\n{what}:", *[f"{a}: {traffic.lost[a]} of {p.last()} lost, {p.outage_ms():.0f} ms;" for a, p in traffic.pings.items()],
          *[f"{n} {w}: {traffic.outage_by_name_ms(w, n):.0f} ms;" for n in NAMES for w in ("asks", "caches")])


def test_failover_failback_and_drill(lab):
    untouched = lab.everything()
    ttl = lab.json("apply", *ALL, "--dns-ttl", f"{TTL_S}s", "--yes")  # whoever asked before would have to be waited for now
    assert lab.both("db.example.test") == (TTL_S, [DB])
    lowered = lab.everything()

    with Traffic(lab, DB, DB_THERE) as traffic:
        there, barrier = moved(lab, "apply", *ALL, "--yes", *PROBES)
    figures("failover", traffic)
    assert there["state"] == "committed"
    assert {a["machine"]: a["after"] for a in there["addresses"]} == {"app-1": APP, "web-1": WEB, "db-1": DB_THERE, "db-2": "172.16.1.11"}
    traffic.assert_good(barrier)
    assert lab.both("db.example.test") == (TTL_S, [DB_THERE]) and lab.both("standby.example.test") == (TTL_S, ["172.16.1.11"])
    assert lab.both("10.1.16.172.in-addr.arpa", "PTR")[1] == ["db.example.test."] and not lab.both("10.5.168.192.in-addr.arpa", "PTR")
    assert not lab.answers(lab.host("client", "end-third"), DB)
    assert lab.json("status")["differences"] is False

    with Traffic(lab, DB_THERE, DB) as traffic:
        back, barrier = moved(lab, "apply", "--failback", "--yes", *PROBES)
    figures("failback", traffic)
    assert back["state"] == "committed"
    traffic.assert_good(barrier)
    lab.assert_same(lowered, whoever_wrote_it)

    before = lab.everything()
    with Traffic(lab, DB, DB_THERE, DB) as traffic:
        drill, barrier = moved(lab, "drill", *ALL, "--hold", f"{HOLD_S}s", "--yes", *PROBES)
    figures("drill", traffic)
    assert drill["rolled_back_verified"]
    traffic.assert_good(barrier)
    lab.assert_same(before)

    for done in (back, there, ttl):  # newest first: everything is as if nothing had been
        assert lab.json("rollback", done["id"], "--yes")["state"] == "committed"
    lab.assert_same(untouched)
    for directory, _, names in os.walk(lab.state_dir):  # the key is in nothing that Ferry keeps
        for name in names:
            with open(os.path.join(directory, name), "rb") as f:
                assert SECRET.encode() not in f.read(), name
