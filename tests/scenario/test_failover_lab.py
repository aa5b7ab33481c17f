"""Test failovers on real kernels: the copy is reachable from the test network alone, production loses nothing under 1,000 echo
requests a second, and at the end every router is back exactly, whoever ends it: a person, the clock, the clock after the
controller was killed (topologies/test-failover.json)."""
import concurrent.futures
import contextlib
import os
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "netns"))
import labtool  # noqa: E402
from labtool import FERRY, Lab, differences, ip, namespaces, until  # noqa: E402
from outages import Pings  # noqa: E402

pytestmark = pytest.mark.skipif(labtool.WHY_NOT is not None, reason=str(labtool.WHY_NOT))

ADDRESS = "192.168.1.10"
BOTH = ["--move", "app=recovery", "--move", "web=recovery", "--yes"]


def over_ssh(lab, router):
    """A plain Linux router that is reached by ssh, in the lab (topologies/three-site-iproute.json)."""
    run = os.path.join(labtool.RUN, lab.name)
    router["driver"] = {"type": "iproute", "netns": router["name"], "transport": "ssh", "host": "127.0.0.1", "user": "root",
                        "identity": os.path.join(run, "id_ed25519"), "known_hosts": os.path.join(run, "known_hosts")}


def a_lab(directory, tag, change=lambda lab: None):
    before = namespaces()
    lab = Lab("test-failover", directory, tag=tag)
    change(lab)
    lab.save()
    with lab:
        lab.links = lambda: ip("-n", lab.router("tf-recovery"), "-o", "link", "show")
        yield lab
    assert namespaces() == before, "namespaces were left behind"


@pytest.fixture(name="lab", scope="module")
def make_lab(tmp_path_factory):
    yield from a_lab(tmp_path_factory.mktemp("tf"), "tf")


@contextlib.contextmanager
def production(lab):
    """1,000 echo requests a second from the production client to the subnet that is tried out: none is lost."""
    stream = Pings(lab.host("client", "tf-third"), ADDRESS, os.path.join(lab.directory, "pings"))
    try:
        yield
        assert stream.end() == 0, "production lost packets"
    finally:
        stream.stop()


def echoes(lab, host, router):
    """How many echo requests a machine has heard."""
    lines = [line.split() for line in lab.inside(lab.host(host, router), "grep", "^Icmp:", "/proc/net/snmp").stdout.splitlines()]
    return int(dict(zip(*lines))["InEchos"])


def begin(lab, *what, window="5m"):
    return lab.json("test-failover", *(what or BOTH), "--for", window, rc=7)


def assert_isolated(lab):
    copy, tester, client = lab.host("app-copy", "tf-recovery"), lab.host("tester", "tf-recovery"), lab.host("client", "tf-third")
    recovery = lab.router("tf-recovery")
    assert lab.answers(copy, "192.168.1.1"), "the copy has its gateway"
    heard = echoes(lab, "app-copy", "tf-recovery"), echoes(lab, "client", "tf-third"), echoes(lab, "app-1", "tf-primary")
    assert lab.answers(tester, ADDRESS), "the copy is reachable from the test network"
    assert lab.answers(client, ADDRESS), "production is what answers elsewhere"
    assert lab.answers(client, "192.168.1.1"), "and its gateway, though the test has the same address on the way"
    silent = (copy, "192.168.3.10"), (copy, "10.255.12.1"), (client, "10.99.2.10")
    with concurrent.futures.ThreadPoolExecutor() as pool:  # each takes its second
        assert not any(pool.map(lambda pair: lab.answers(*pair), silent))
    after = echoes(lab, "app-copy", "tf-recovery"), echoes(lab, "client", "tf-third"), echoes(lab, "app-1", "tf-primary")
    copied, away, served = [b - a for a, b in zip(heard, after)]
    assert (copied, away) == (1, 0) and served >= 1, "who has heard whom"
    local = ip("-n", recovery, "route", "show", "table", "local")
    assert "192.168.1." not in local and "10.99.2." not in local, "no key of the test where all packets are looked up"
    main = ip("-n", recovery, "route", "show", "table", "main")
    assert "test0" not in main and "br-test" not in main


def test_beside_production_and_cleaned_up(lab):
    before, links = lab.states(), lab.links()
    with production(lab):
        done = begin(lab)
        assert done["production"]["unchanged"] and done["production"]["compared"] == 6
        assert_isolated(lab)
        assert lab.answers(lab.host("web-copy", "tf-recovery"), "10.99.2.1"), "the shadow, on a bridge that came with it"
        during = lab.states()
        for router in ("tf-primary", "tf-third"):
            assert during[lab.router(router)] == before[lab.router(router)]
        assert lab.json("status")["subnets"][0]["active"] == "primary"
        lab.ferry("test-failover", "--cleanup", "--yes", "--note", "it came up")
    until("the links to be as before", lambda: lab.links() == links)
    assert not differences(before, lab.states())
    assert lab.json("test-failover")["tests"][0]["result"] == "passed"


def test_the_clock_ends_it_also_without_the_controller(lab):
    before, links = lab.states(), lab.links()
    with production(lab):
        begin(lab, window="15s")  # isolated is looked at meanwhile
        assert_isolated(lab)
        state = lab.state_dir + ".away"
        os.rename(lab.state_dir, state)  # nobody knows of it any more
        until("the routers to clean up", lambda: not differences(before, lab.states()) and lab.links() == links, seconds=90)
    os.rename(state, lab.state_dir)
    lab.ferry("recover")
    assert not differences(before, lab.states())
    tests = lab.json("test-failover")["tests"]
    assert tests[0]["result"] == "over" and tests[0]["state"] == "undone"


def test_the_clock_ends_it_where_the_controller_was_killed(lab):
    """Killed as soon as the first rule of the test is there: in the middle of the apply, or right after it."""
    before, links, recovery = lab.states(), lab.links(), lab.router("tf-recovery")
    process = subprocess.Popen([FERRY, "test-failover", *BOTH, "--for", "5s"], env=lab.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until("the test to begin", lambda: "4201" in ip("-n", recovery, "rule", "show") or process.poll() is not None, seconds=90, pause=0)
    process.kill()
    process.wait()
    until("the routers to clean up", lambda: not differences(before, lab.states()) and lab.links() == links, seconds=90)
    lab.ferry("recover")
    assert not differences(before, lab.states())


def test_its_rules_go_also_where_somebody_took_its_address(lab):
    """They are no key of the plan: "everything is as before" must not be said while they are there."""
    before, recovery = lab.states(), lab.router("tf-recovery")
    begin(lab)
    ip("-n", recovery, "addr", "del", "192.168.1.1/24", "dev", "test0")
    lab.ferry("test-failover", "--cleanup", "--yes")
    assert "test0" not in ip("-n", recovery, "rule", "show")
    assert not differences(before, lab.states())


@pytest.mark.parametrize("made, unmade, words", [
    (["route", "add", "10.5.0.0/16", "dev", "lo", "table", "4201"], ["route", "del", "10.5.0.0/16", "table", "4201"], "holds routes already"),
    (["rule", "add", "to", "10.5.0.0/16", "lookup", "4201", "priority", "900"], ["rule", "del", "priority", "900"], "leads to table 4201 already"),
    (["rule", "add", "to", "10.5.0.0/16", "lookup", "main", "priority", "1"], ["rule", "del", "priority", "1"], "looked at before"),
    (["addr", "add", "10.5.0.1/24", "dev", "test0"], ["addr", "del", "10.5.0.1/24", "dev", "test0"], "has an address already"),
], ids=["table", "rule-to-it", "rule-before-it", "interface"])
def test_what_is_somebody_elses_is_refused(lab, made, unmade, words):
    recovery = lab.router("tf-recovery")
    ip("-n", recovery, *made)
    before = lab.states()
    done = lab.ferry("test-failover", "--move", "app=recovery", "--yes", rc=(3, 4))
    assert words in done.stderr, done.stderr
    assert not differences(before, lab.states())
    ip("-n", recovery, *unmade)


def test_beside_routers_of_other_kinds(tmp_path):
    """Production is read on all of them, also where a router has no such table; the test itself is netlink's."""
    with Lab("mixed", tmp_path, tag="tm") as lab:
        recovery = lab.router("mix-recovery")
        router = next(r for r in lab.document["routers"] if r["name"] == recovery)
        router["driver"] = {"type": "netlink", "netns": recovery}
        router["interfaces"].append({"name": "test0"})
        lab.document["subnets"][0]["test"] = {
            "table": 4201, "gateways": [{"router": recovery, "interface": "test0", "address": "192.168.1.1/24"}]}
        lab.save()
        ip("-n", recovery, "link", "add", "test0", "type", "veth", "peer", "name", "test0-peer")
        for name in ("test0", "test0-peer"):
            ip("-n", recovery, "link", "set", name, "up")
        until("the carrier", lambda: "LOWER_UP" in ip("-n", recovery, "link", "show", "test0"))
        until("FRR to have settled", lambda: not lab.json("status")["differences"], seconds=60)
        until("addresses to be usable", lambda: "tentative" not in ip("-n", recovery, "address", "show"))
        before = lab.states()
        done = begin(lab, "--move", "app=recovery", "--yes")
        assert done["production"] == {"compared": 3, "unchanged": True, "difference": None}
        assert "test0" in ip("-n", recovery, "rule", "show")
        lab.ferry("test-failover", "--cleanup", "--yes")
        assert not differences(before, lab.states())
