"""`ferry lab` with routers that are machines: FRR and sshd, BGP, OSPF, BIRD; and that nothing of them is left
behind.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import time

import labtool
import pytest
from labtool import FERRY, RUN, Lab, ip, namespaces, run, until

NEEDED = ["/usr/lib/frr/frrinit.sh", "/usr/bin/vtysh", "/usr/sbin/sshd", "/usr/sbin/bird"]
MISSING = [p for p in NEEDED if not os.path.exists(p)]
WHY_NOT = labtool.WHY_NOT or (f"{', '.join(MISSING)} missing: topologies/install-packages tests" if MISSING else None)
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))


def network_inodes():
    """Of this process's labs."""
    return {os.stat(f"/run/netns/{name}").st_ino: name for name in namespaces()}


def processes(inodes):
    """Processes that live in one of these network namespaces."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{pid}/ns/net").st_ino in inodes:
                with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as f:
                    found.append(f"{pid} {f.read()}")
        except OSError:
            continue  # it has ended meanwhile
    return found


def own_files():
    mine = re.compile(rf"(?<!\d){os.getpid()}-")
    return sorted(filter(mine.search, os.listdir(RUN))) if os.path.isdir(RUN) else []


def machine_files():
    """What this machine's own FRR and SSH have, and what is mounted here; but for namespaces, which other tests mount as well."""
    listing = [f"{root}/{f} {os.stat(os.path.join(root, f)).st_mtime_ns}" for top in ("/etc/frr", "/run/frr", "/var/log/frr")
               for root, _, files in os.walk(top) for f in files]
    with open("/proc/self/mounts", encoding="utf-8") as f:
        return listing + [line for line in f if "/run/netns" not in line and not line.startswith("nsfs ")]


@pytest.fixture
def clean():
    before = machine_files()
    assert not namespaces() and not own_files()
    yield
    assert not namespaces() and not own_files(), "something is left behind"
    assert machine_files() == before, "this machine's own files have changed"


def down(lab):
    """Takes it down, and looks for what has stayed."""
    inodes = network_inodes()
    lived = set(processes(inodes))
    lab.down()
    assert not lived & set(processes(inodes)), "processes are left"
    assert not namespaces() and not own_files()


def status(lab, rc=0):
    answer = lab.json("lab", "status", lab.file, rc=rc)
    return answer, {space["netns"]: space for space in answer["spaces"]}


def assert_up(lab):
    answer, spaces = status(lab)
    assert (answer["state"], answer["baseline"]) == ("up", True), spaces


def ssh(lab, netns, host, *words, key=None, known=None):
    key, known = key or f"{RUN}/{lab.name}/id_ed25519", known or f"{RUN}/{lab.name}/known_hosts"
    return run("ip", "netns", "exec", netns, "ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes",
               "-o", "IdentitiesOnly=yes", "-i", key, "-o", f"UserKnownHostsFile={known}", f"root@{host}", *words)


def pings(lab, router, address="192.168.1.10"):
    until(f"{address} to answer", lambda: lab.answers(lab.host("client", router), address))


# ---- What is built ----

def test_static(tmp_path, clean):
    with Lab("three-site-frr", tmp_path) as lab:
        third, primary = lab.router("frr-third"), lab.router("frr-primary")
        assert_up(lab)
        assert re.findall(r"^ip route .*", lab.vtysh(third, "show running-config"), re.M) == \
            ["ip route 192.168.1.0/24 10.255.13.1", "ip route 10.255.12.0/30 10.255.13.1"]
        rib = json.loads(lab.vtysh(third, "show ip route 192.168.1.0/24 json"))["192.168.1.0/24"][0]
        assert (rib["protocol"], rib["distance"], rib["installed"]) == ("static", 1, True)
        pings(lab, "frr-third")
        # A machine of its own: plain ssh, plain vtysh, its own name and files; and nobody else's key opens it.
        said = ssh(lab, third, "127.0.0.1", "hostname; vtysh -c 'show daemons'; ls -A /run /root; echo $$ >/run/lab/x")
        assert said.stdout.startswith(f"{third}\n zebra watchfrr staticd\n"), said.stdout + said.stderr
        assert ".bashrc" not in said.stdout and "netns" not in said.stdout
        assert run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other").returncode == 0
        assert "Permission denied" in ssh(lab, third, "127.0.0.1", "true", key=tmp_path / "other").stderr
        assert os.stat(f"{RUN}/{lab.name}").st_mode & 0o777 == 0o700
        status_of_changes(lab, third)
        boot_id = lab.enter(primary, "cat", "/proc/sys/kernel/random/boot_id").stdout
        lab.reboot(primary)
        assert lab.enter(primary, "cat", "/proc/sys/kernel/random/boot_id").stdout != boot_id
        until("the baseline to be back", lambda: status(lab, rc=(0, 1))[0]["baseline"], pause=0.5)
        down(lab)


def status_of_changes(lab, third):
    lab.vtysh(third, "configure terminal", "ip route 198.51.100.0/24 Null0")
    answer, spaces = status(lab)
    assert (answer["state"], answer["baseline"], spaces[third]["config_same"]) == ("up", False, False)

    def said():
        answer, spaces = status(lab, rc=(0, 1))
        return answer["state"], answer["baseline"], spaces[third]["daemons"], spaces[third]["daemons_up"]
    lab.vtysh(third, "configure terminal", "no ip route 198.51.100.0/24 Null0")
    until("the baseline to be back", lambda: said() == ("up", True, 4, 4))
    assert lab.enter(third, "sh", "-c", "kill $(cat /run/sshd.pid)").returncode == 0
    until("sshd to be missed", lambda: said() == ("broken", True, 4, 3))
    assert status(lab, rc=1)
    assert lab.enter(third, "sh", "-c", "/usr/sbin/sshd -f /run/lab/ssh/sshd_config").returncode == 0
    until("sshd to be back", lambda: said() == ("up", True, 4, 4))
    killed = lab.enter(third, "cat", "/run/frr/staticd.pid").stdout
    assert lab.enter(third, "kill", "-9", killed.strip()).returncode == 0
    until("staticd to be missed, where watchfrr was not sooner",
          lambda: said()[3] == 3 or lab.enter(third, "cat", "/run/frr/staticd.pid").stdout != killed)
    until("FRR to start it again", lambda: said() == ("up", True, 4, 4), 60, pause=0.5)


def test_iproute_and_mixed_side_by_side(tmp_path, clean):
    (tmp_path / "other").mkdir()
    with Lab("three-site-iproute", tmp_path, "a") as one, Lab("mixed", tmp_path / "other", "b") as other:
        for lab, third in ((one, "ipr-third"), (other, "mix-third")):
            assert_up(lab)
            pings(lab, third)
        routes = ssh(one, one.router("ipr-third"), "127.0.0.1", "ip -j route show 192.168.1.0/24")
        assert json.loads(routes.stdout)[0]["protocol"] == "static", routes.stderr
        assert [s.get("daemons") for s in status(other)[1].values()][:3] == [4, 1, None]
        gone = {i for i, name in network_inodes().items() if f"a{os.getpid()}-" in name}
        lived = set(processes(gone))
        one.down()
        assert_up(other)
        assert lived and not lived & set(processes(gone))  # the numbers of namespaces are given again, to other tests'
        with open(f"/proc/{other.pid(other.router('mix-primary'))}/mountinfo", encoding="utf-8") as f:
            assert one.router("ipr-third") not in f.read(), "the other lab keeps its namespace alive"
        down(other)


def test_bgp(tmp_path, clean):
    with Lab("three-site-bgp", tmp_path) as lab:
        assert_up(lab)
        third, second = lab.router("bgp-third"), lab.router("bgp-primary-2")

        def paths():
            return sorted(p["aspath"]["string"] for p in json.loads(lab.vtysh(third, "show bgp ipv4 unicast 192.168.1.0/24 json"))["paths"])
        until("the other way, of which no kernel knows", lambda: paths() == ["65001", "65002 65001"])
        route = json.loads(ip("-n", third, "-j", "route", "show", "192.168.1.0/24"))[0]
        assert (route["gateway"], route["protocol"]) == ("10.255.13.1", "bgp")
        inside = json.loads(ip("-n", second, "-j", "route", "show", "192.168.1.0/24"))[0]
        assert inside["gateway"] == "10.255.11.1", "iBGP"
        assert json.loads(ip("-n", second, "-j", "route", "show", "192.168.3.0/24"))[0]["dev"] == "to-third"
        pings(lab, "bgp-third")
        # What nobody configured to be there is not at the baseline either.
        lab.vtysh(lab.router("bgp-recovery"), "configure terminal", "router bgp 65002", "address-family ipv4 unicast",
                  "no network 10.255.23.0/30")
        assert not status(lab)[0]["baseline"]
        down(lab)


def test_ospf(tmp_path, clean):
    lab = Lab("three-site-ospf", tmp_path)
    lab.document["links"][1]["cost"] = 35  # dearer than the two others together
    lab.save()
    with lab:
        assert_up(lab)
        third = lab.router("ospf-third")
        route = json.loads(ip("-n", third, "-j", "route", "show", "192.168.1.0/24"))[0]
        assert (route["gateway"], route["protocol"]) == ("10.255.23.1", "ospf")
        rib = json.loads(lab.vtysh(third, "show ip route 192.168.1.0/24 json"))["192.168.1.0/24"][0]
        assert (rib["distance"], rib["metric"]) == (110, 40), "links of 20 and 10, and the LAN's 10"
        assert "ip ospf passive" in lab.vtysh(third, "show running-config")
        pings(lab, "ospf-third")
        down(lab)


def test_bird(tmp_path, clean):
    with Lab("bgp-bird", tmp_path) as lab:
        assert_up(lab)
        peer, primary = lab.host("peer", "bird-third"), lab.router("bird-primary")
        until("BIRD to know it", lambda: "BGP.as_path: 65003 65001" in lab.enter(
            peer, "birdc", "-s", "/run/bird.ctl", "show", "route", "192.168.1.0/24", "all").stdout)
        for router, prefix, protocol in ((peer, "192.168.1.0/24", "bird"), (primary, "203.0.113.0/24", "bgp")):
            until(f"the kernel's route to {prefix}", lambda router=router, prefix=prefix, protocol=protocol: [
                r["protocol"] for r in json.loads(ip("-n", router, "-j", "route", "show", prefix))] == [protocol])
        assert lab.answers(peer, "192.168.1.10")
        down(lab)


def test_ten_routers(tmp_path, clean):
    begun = time.monotonic()
    with Lab("ten-routers-frr", tmp_path) as lab:
        print(f"ten FRR routers are up after {time.monotonic() - begun:.1f} s")
        assert_up(lab)
        pings(lab, "ten-8")
        down(lab)


def test_reached_by_its_own_address(tmp_path, clean):
    """In band: `netns` is where one connects from, sshd listens on the router's addresses."""
    lab = Lab("three-site-frr", tmp_path)
    primary, client = lab.router("frr-primary"), lab.host("client", "frr-third")
    lab.document["routers"][0]["driver"].update({"host": "10.255.13.1", "netns": client, "port": 2222})
    lab.save()
    with lab:
        assert_up(lab)
        done = run("ip", "netns", "exec", client, "ssh", "-F", "none", "-o", "BatchMode=yes", "-p", "2222",
                   "-i", f"{RUN}/{lab.name}/id_ed25519", "-o", f"UserKnownHostsFile={RUN}/{lab.name}/known_hosts",
                   "root@10.255.13.1", "hostname")
        assert done.stdout.strip() == primary, done.stderr
        down(lab)


def test_pathspaces(tmp_path, clean):
    """FRR that is reached from here has directories of its own name among this machine's, and nothing of them stays."""
    lab = Lab("three-site-frr", tmp_path)
    for router in lab.document["routers"]:
        router["driver"] = {"type": "frr", "transport": "local", "netns": router["name"], "pathspace": router["name"]}
    lab.save()
    third = lab.router("frr-third")
    os.mkdir(f"/run/frr/{third}")
    try:
        assert "lab-files" in lab.ferry("lab", "up", lab.file, rc=4).stderr
        assert os.path.exists(f"/run/frr/{third}")
    finally:
        os.rmdir(f"/run/frr/{third}")
    with lab:
        assert_up(lab)
        pings(lab, "frr-third")
        said = run("ip", "netns", "exec", third, "vtysh", "-N", third, "-c", "show running-config").stdout
        assert "ip route 192.168.1.0/24 10.255.13.1" in said
        assert not os.path.exists(f"{RUN}/{lab.name}/id_ed25519")
        down(lab)


# ---- What is refused, what fails, what is killed ----

def ferry_without(lab, mounts, *words):
    """Runs ferry where something is mounted over a part of this machine."""
    script = " && ".join([*mounts, 'exec "$0" "$@"'])
    return run("unshare", "-m", "sh", "-c", script, FERRY, *words, env=lab.env)


@pytest.mark.parametrize("name,program", [("three-site-frr", "/usr/lib/frr/frrinit.sh"), ("mixed", "/usr/sbin/sshd"),
                                          ("bgp-bird", "/usr/sbin/bird")])
def test_missing_packages(name, program, tmp_path, clean):
    lab = Lab(name, tmp_path)
    (tmp_path / "nothing").write_text("")
    done = ferry_without(lab, [f"mount --bind {tmp_path}/nothing {program}"], "lab", "up", lab.file)
    assert done.returncode == 4
    assert "packages" in done.stderr and program in done.stderr and "topologies/install-packages frr" in done.stderr


def test_a_daemon_that_does_not_start(tmp_path, clean):
    lab = Lab("three-site-frr", tmp_path)
    (tmp_path / "fails").write_text("#!/bin/sh\necho told to fail >&2\nexit 1\n")
    (tmp_path / "fails").chmod(0o755)
    done = ferry_without(lab, [f"mount --bind {tmp_path}/fails /usr/lib/frr/frrinit.sh"], "lab", "up", lab.file)
    assert done.returncode == 1
    assert "its daemons do not start: told to fail" in done.stderr


MOMENTS = {  # for a shell
    "keys": lambda lab: f"[ -e {RUN}/{lab.name}/id_ed25519 ]",
    "machine files": lambda lab: f"[ -e {lab.path(lab.routers[1], 'ssh', 'host_ed25519')} ]",
    "processes": lambda lab: f"grep -qs '\"pid\"' {lab.record}",
    "first daemons": lambda lab: f"[ -e {lab.path(lab.routers[0], 'boot_id')} ]",
    "a machine is ready": lambda lab: f"[ -e {lab.path(lab.routers[2], 'ready')} ]",
    "a configuration is kept": lambda lab: f"[ -e {lab.path(lab.routers[0], 'running-config')} ]",
}


def end_at(moment, lab, directory, how, **options):
    """`lab up`, ended at a moment: it comes no further than to its next program, however late we are.  What it says to errors."""
    here, wait, programs = MOMENTS[moment](lab), directory / "wait", directory / "bin"
    programs.mkdir()
    wait.touch()
    for name in ("ip", "nsenter", "ssh-keygen"):
        real = shutil.which(name, path=lab.env["PATH"])
        (programs / name).write_text(f'#!/bin/sh\nwhile [ -e {wait} ] && {here}; do sleep 0.02; done\nexec {real} "$@"\n')
        (programs / name).chmod(0o755)
    env = dict(lab.env, PATH=f"{programs}:{lab.env['PATH']}")
    with subprocess.Popen([FERRY, "lab", "up", lab.file], env=env, stdout=subprocess.DEVNULL, text=True, **options) as up:
        until(moment, lambda: run("sh", "-c", here).returncode == 0 or up.poll() is not None)
        assert up.poll() is None, "it was done before it could be ended"
        up.send_signal(how)
        wait.unlink()
        return up, up.communicate(timeout=60)[1]


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_and_cleaned_up(moment, tmp_path, clean):
    lab = Lab("three-site-frr", tmp_path)
    end_at(moment, lab, tmp_path, signal.SIGKILL, stderr=subprocess.DEVNULL)
    assert "lab-up" in lab.ferry("lab", "up", lab.file, rc=4).stderr
    down(lab)


@pytest.mark.parametrize("moment", ["keys", "processes", "first daemons"])
def test_interrupted_is_undone(moment, tmp_path, clean):
    lab = Lab("three-site-frr", tmp_path)
    up, err = end_at(moment, lab, tmp_path, signal.SIGTERM, stderr=subprocess.PIPE)
    assert (up.returncode, "interrupted by SIGTERM" in err) == (1, True), err
    assert not os.path.exists(lab.record) and not os.path.exists(f"{RUN}/{lab.name}")


def test_schema_and_loader_agree_on_bird(tmp_path):
    jsonschema = pytest.importorskip("jsonschema")
    with open(os.path.join(labtool.TOPOLOGIES, "schema.json"), encoding="utf-8") as f:
        schema = json.load(f)
    lab = Lab("bgp-bird", tmp_path)
    bird = lab.document["lab"]["hosts"][2]["bird"]
    for change in ({"as": 0}, {"as": "65100"}, {"networks": "203.0.113.0/24"}, {"networks": ["203.0.113.0"]}, {"kind": "x"}):
        lab.document["lab"]["hosts"][2]["bird"] = {**bird, **change}
        lab.save()
        assert lab.ferry("validate", rc=65)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(lab.document, schema)


def test_needs_the_programs():
    assert all(shutil.which(p) for p in ("nsenter", "timeout", "ssh-keyscan")), "the lab runs them"
