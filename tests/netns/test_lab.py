"""`ferry lab`: what it builds, what it refuses, and that nothing is ever left behind."""
import json
import os
import signal
import stat
import subprocess
import sys

import labtool
import pytest
from labtool import FERRY, Lab, ip, namespaces, run, until

pytestmark = pytest.mark.skipif(labtool.WHY_NOT is not None, reason=str(labtool.WHY_NOT))

# Example, [(from host, at router, addresses that answer)].
EXAMPLES = [
    ("three-site", [("client", "edge-third", ["192.168.1.10", "192.168.1.1", "10.255.12.1"])]),
    ("dual-stack", [("client", "dual-third", ["192.168.1.10", "2001:db8:1::10", "2001:db8:1::1"])]),
    ("ring-six", [("client", "ring-6", ["192.168.1.10", "192.168.2.10"])]),
    ("two-gateways", [("client", "pair-third", ["192.168.1.10", "192.168.1.2", "192.168.1.3"]),
                      ("app-1", "pair-primary-1", ["192.168.1.2", "192.168.1.3"])]),
    ("chain", [("client", "chain-2", ["192.168.1.10"])]),
    ("routed", [("client", "routed-third", ["192.168.1.10", "192.168.2.10", "192.168.9.2"])]),
    ("subnets-200", [("client", "many-third", ["10.100.0.10", "10.100.198.10"])]),
    ("public-network", [("client", "geant-pt", ["192.168.1.10", "192.168.2.10"])]),
]


@pytest.fixture
def clean():
    before = namespaces()
    yield before
    assert namespaces() == before, "namespaces were left behind"


@pytest.mark.parametrize("name,pings", EXAMPLES, ids=[e[0] for e in EXAMPLES])
def test_example(name, pings, tmp_path, clean):
    lab = Lab(name, tmp_path)
    lab.ferry("validate")
    assert lab.json("lab", "status", lab.file)["state"] == "down"
    with lab:
        status = lab.json("lab", "status", lab.file)
        assert (status["state"], status["baseline"], status["same_file"]) == ("up", True, True)
        assert {s["netns"] for s in status["spaces"]} == set(namespaces()) - set(clean)
        for host, router, addresses in pings:
            for address in addresses:
                assert lab.answers(lab.host(host, router), address), f"{address} does not answer {host}"
        again = lab.ferry("lab", "up", lab.file, rc=4)
        assert "lab-up" in again.stderr
        assert lab.json("lab", "status", lab.file)["state"] == "up", "the refusal changed something"
        lab.down()
        assert namespaces() == clean
        assert not os.path.exists(lab.record)
        lab.down()  # nothing to do is no error


def test_baseline_is_an_administrators(tmp_path, clean):
    with Lab("three-site", tmp_path) as lab:
        third = lab.router("edge-third")
        routes = json.loads(ip("-n", third, "-j", "route", "show", "192.168.1.0/24"))
        assert routes == [{"dst": "192.168.1.0/24", "gateway": "10.255.13.1", "dev": "to-primary", "protocol": "static",
                           "metric": 20, "flags": []}]
        assert "192.168.1.1/24" in ip("-n", lab.router("edge-primary"), "-4", "addr", "show", "lan0")
        assert "192.168.1.1/24" not in ip("-n", lab.router("edge-recovery"), "-4", "addr")
        for key, value in [("net.ipv4.ip_forward", "1"), ("net.ipv6.conf.all.forwarding", "1"),
                           ("net.ipv4.conf.all.rp_filter", "0"), ("net.ipv4.conf.lan0.rp_filter", "0"),
                           ("net.ipv4.conf.to-primary.send_redirects", "0"), ("net.ipv4.icmp_ratelimit", "0"),
                           ("net.ipv6.icmp.ratelimit", "0"), ("net.ipv6.conf.lan0.accept_dad", "0")]:
            path = "/proc/sys/" + key.replace(".", "/")
            assert lab.inside(third, "cat", path).stdout.strip() == value, key


def test_ecmp_baseline(tmp_path, clean):
    with Lab("ring-six", tmp_path) as lab:
        # ring-6 is one hop from ring-1; ring-4 is three hops from it in both directions.
        routes = json.loads(ip("-n", lab.router("ring-4"), "-j", "route", "show", "192.168.1.0/24"))
        assert {hop["dev"] for hop in routes[0]["nexthops"]} == {"to-ring-3"[:15], "to-ring-5"[:15]} or \
            len(routes[0]["nexthops"]) == 2


def test_missing_and_changed_parts_show(tmp_path, clean):
    with Lab("three-site", tmp_path) as lab:
        third = lab.router("edge-third")
        ip("-n", third, "route", "del", "192.168.1.0/24")
        status = lab.json("lab", "status", lab.file)
        assert (status["state"], status["baseline"]) == ("up", False)
        ip("-n", third, "link", "set", "lan0", "down")
        assert lab.json("lab", "status", lab.file, rc=1)["state"] == "broken"
        ip("netns", "del", lab.router("edge-primary"))
        spaces = {s["netns"]: s for s in lab.json("lab", "status", lab.file, rc=1)["spaces"]}
        assert not spaces[lab.router("edge-primary")]["present"]
        lab.down()
        assert namespaces() == clean


def test_refuses_a_foreign_namespace(tmp_path, clean):
    lab = Lab("three-site", tmp_path)
    foreign = lab.router("edge-third")
    ip("netns", "add", foreign)
    try:
        refused = lab.ferry("lab", "up", lab.file, rc=4)
        assert "netns-exists" in refused.stderr and foreign in refused.stderr
        assert namespaces() == sorted(clean + [foreign])
        assert not os.path.exists(lab.record)
        lab.down()
        assert foreign in namespaces(), "lab down removed what the lab has not made"
    finally:
        ip("netns", "del", foreign)


def test_leaves_a_namespace_that_was_made_anew(tmp_path, clean):
    with Lab("three-site", tmp_path) as lab:
        foreign = lab.router("edge-third")
        was = os.stat(f"/run/netns/{foreign}").st_ino
        ip("netns", "del", foreign)
        others = []  # an inode can be used again at once, here or by a lab beside: more of them until it is another
        while not others or os.stat(f"/run/netns/{foreign}").st_ino == was:
            others.append(f"{foreign}-{len(others)}")
            ip("netns", "del", foreign, check=False)
            ip("netns", "add", others[-1])
            ip("netns", "add", foreign)
        try:
            lab.down()
            assert namespaces() == sorted(clean + [foreign, *others])
        finally:
            for name in (foreign, *others):
                ip("netns", "del", name, check=False)


def test_processes_are_reported_and_live_on(tmp_path, clean):
    with Lab("three-site", tmp_path) as lab:
        third = lab.router("edge-third")
        with subprocess.Popen(["ip", "netns", "exec", third, "sleep", "60"]) as sleeper:
            try:
                until("the sleeper", lambda: os.readlink(f"/proc/{sleeper.pid}/exe").endswith("sleep"))
                spaces = {s["netns"]: s for s in lab.json("lab", "status", lab.file)["spaces"]}
                assert spaces[third]["processes"] == 1
                assert f"{sleeper.pid} (sleep)" in lab.down().stderr
                assert sleeper.poll() is None
            finally:
                sleeper.kill()


def test_other_routers_are_left_out(tmp_path, clean):
    lab = Lab("three-site", tmp_path)
    lab.document["routers"][0]["driver"] = {"type": "sim"}
    lab.save()
    with lab:
        assert lab.router("edge-primary") not in namespaces()
        status = lab.json("lab", "status", lab.file)
        assert (status["state"], status["baseline"]) == ("up", True)
        # Its end of the cable has a carrier all the same.
        assert "LOWER_UP" in ip("-n", lab.router("edge-third"), "link", "show", "to-primary")


def test_nothing_to_build_is_refused(tmp_path, clean):
    lab = Lab("three-site", tmp_path)
    for router in lab.document["routers"]:
        router["driver"] = {"type": "sim"}
    lab.save()
    assert "no-netns" in lab.ferry("lab", "up", lab.file, rc=4).stderr


def test_two_labs_side_by_side(tmp_path, clean):
    (tmp_path / "other").mkdir()
    with Lab("three-site", tmp_path) as one, Lab("chain", tmp_path / "other") as other:
        assert one.json("lab", "status", one.file)["state"] == "up"
        assert other.json("lab", "status", other.file)["state"] == "up"
        one.down()
        assert other.json("lab", "status", other.file)["state"] == "up"


# ---- Failures and crashes: the n-th call of `ip`, for n = 1, 2, … until a run is clean ----

def fake_ip(directory, n, what):
    """An `ip` that does `what` at its n-th call, and is the real one otherwise."""
    os.makedirs(directory, exist_ok=True)
    counter, program = os.path.join(directory, "count"), os.path.join(directory, "ip")
    with open(counter, "w", encoding="ascii") as f:
        f.write("0")
    real = run("sh", "-c", "PATH=$PATH:/usr/sbin command -v ip").stdout.strip()
    with open(program, "w", encoding="ascii") as f:
        f.write(f'#!/bin/sh\nn=$(($(cat {counter}) + 1)); echo $n >{counter}\nreal={real}\n'
                f'if [ $n -eq {n} ]; then {what}; fi\nexec $real "$@"\n')
    os.chmod(program, stat.S_IRWXU)
    return {"PATH": directory + ":" + os.environ["PATH"] + labtool.SBIN}


def fault_loop(lab, directory, what, after, **kwargs):
    for n in range(1, 100):
        env = fake_ip(str(directory / "bin"), n, what)
        done = run(FERRY, "lab", "up", lab.file, env=dict(lab.env, **env), **kwargs)
        if done.returncode == 0:
            assert n > 5, "the fault was never met"
            return n - 1
        after(n, done)
    raise AssertionError("no run was clean")


def test_every_failure_is_undone(tmp_path, clean):
    lab = Lab("three-site", tmp_path)

    def after(n, done):
        assert done.returncode == 1, done.stderr
        assert "told to fail" in done.stderr
        assert namespaces() == clean, f"call {n} failed and something is left"
        assert not os.path.exists(lab.record)

    with_half = 'head -n 2 | $real "$@" >/dev/null; echo told to fail >&2; exit 1'  # half of its work done
    try:
        fault_loop(lab, tmp_path, with_half, after)
        assert lab.json("lab", "status", lab.file)["baseline"]
    finally:
        lab.down()


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP"])
def test_interrupted_anywhere_is_undone(tmp_path, clean, name):
    lab = Lab("three-site", tmp_path)

    def after(n, done):
        assert (done.returncode, f"interrupted by SIG{name}" in done.stderr) == (1, True), done.stderr
        assert namespaces() == clean, f"interrupted at call {n}, and something is left"
        assert not os.path.exists(lab.record)

    try:  # as a terminal does it: all of the process group
        fault_loop(lab, tmp_path, f"kill -s {name} -- -$PPID", after, start_new_session=True)
    finally:
        lab.down()


def test_whoever_holds_a_lab_takes_it_down_when_told_to_end(tmp_path):
    """As `timeout` tells a benchmark."""
    script = f"import labtool, time\nwith labtool.Lab('three-site', {str(tmp_path)!r}):\n    print('up', flush=True)\n    time.sleep(60)\n"
    with subprocess.Popen([sys.executable, "-c", script], cwd=os.path.dirname(labtool.__file__), env=dict(os.environ, FERRY=FERRY),
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as holder:
        up = holder.stdout.readline()
        made = namespaces(holder.pid)
        holder.terminate()
        assert holder.wait(60) != 0
    assert up == "up\n" and made
    assert not namespaces(holder.pid), "namespaces were left behind"


def test_killed_anywhere_is_cleaned_up(tmp_path, clean):
    lab = Lab("three-site", tmp_path)

    def after(n, done):
        assert done.returncode == -signal.SIGKILL
        assert os.path.exists(lab.record)
        if n % 4 == 0:
            assert "lab-up" in lab.ferry("lab", "up", lab.file, rc=4).stderr
        lab.down()  # waits for the orphan, which goes on building for a while
        assert namespaces() == clean, f"killed at call {n}, and something is left"
        assert not os.path.exists(lab.record)

    try:
        fault_loop(lab, tmp_path, "kill -9 $PPID; sleep 0.1", after)
    finally:
        lab.down()
