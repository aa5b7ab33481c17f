"""Hooks on real kernels: programs that move the machine between detach and attach, under traffic; what fails is
undone byte for byte, the machine included.
"""
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "netns"))
import labtool  # noqa: E402
from labtool import Lab, differences, ip, namespaces  # noqa: E402

pytestmark = pytest.mark.skipif(labtool.WHY_NOT is not None, reason=str(labtool.WHY_NOT))

MOVE = ["--move", "app=recovery"]
SILENT = "/proc/sys/net/ipv4/icmp_echo_ignore_all"


class Machines:
    """The machine app-1: it runs at one site; at the other its namespace answers nothing."""

    def __init__(self, lab, directory):
        self.lab, self.client = lab, lab.host("client", "edge-third")
        self.at = {site: lab.host("app-1", f"edge-{site}") for site in ("primary", "recovery")}
        self.script = str(directory / "move-machine")
        with open(self.script, "w", encoding="utf-8") as f:
            f.write(f"""#!/bin/sh -e
# move-machine [fail]: from the site that Ferry leaves to the one that it goes to, or back
from=$FERRY_FROM to=$FERRY_TO
[ "$FERRY_ACTION" = run ] || {{ from=$FERRY_TO; to=$FERRY_FROM; }}
set_silent() {{ ip netns exec "app-1.{lab.prefix}edge-$1" sh -c "echo $2 > {SILENT}"; }}
set_silent "$from" 1
set_silent "$to" 0
echo "$FERRY_SUBNETS runs at $to"
[ "$1" != fail ] || {{ echo "no disk at $to" >&2; exit 4; }}
""")
        os.chmod(self.script, 0o755)
        self.put("recovery", 1)

    def put(self, site, silent):
        ip("netns", "exec", self.at[site], "sh", "-c", f"echo {silent} > {SILENT}")

    def runs(self):
        return [site for site, netns in self.at.items() if ip("netns", "exec", netns, "cat", SILENT).strip() == "0"]

    def hook(self, *arguments, **more):
        return {"run": [self.script, *arguments], "undo": [self.script], "timeout": "20s", **more}

    def hooks(self, **phases):
        self.lab.document["hooks"] = {name.replace("_", "-"): v for name, v in phases.items()}
        self.lab.save()


@pytest.fixture(name="world", scope="module")
def make_world(tmp_path_factory):
    """One lab for all: every test leaves it as it was, and says so."""
    directory = tmp_path_factory.mktemp("lab")
    before = namespaces()
    with Lab("three-site", directory, tag="h") as lab:
        yield lab, Machines(lab, directory)
    assert namespaces() == before


def test_hooks_move_the_machine(world):
    lab, machines = world
    machines.hooks(after_detach=[machines.hook()])
    before = lab.states()
    assert machines.runs() == ["primary"] and lab.answers(machines.client, "192.168.1.10")
    done = lab.json("apply", *MOVE, "--yes", "--probe", "192.168.1.10")
    assert done["state"] == "committed" and done["hooks"][0]["output"] == "app runs at recovery\n"
    assert machines.runs() == ["recovery"] and lab.answers(machines.client, "192.168.1.10")
    outage = done["outage"][0]
    assert outage["sent"] > outage["lost"] > 0 and (outage["ttl_exceeded"], outage["duplicates"]) == (0, 0)
    back = lab.json("rollback", "--yes")
    assert back["state"] == "committed" and back["hooks"][0]["at"] == "before-attach"
    assert machines.runs() == ["primary"] and lab.answers(machines.client, "192.168.1.10")
    assert not differences(before, lab.states())
    drill = lab.json("drill", *MOVE, "--yes", "--probe", "192.168.1.10")
    assert drill["state"] == "undone" and machines.runs() == ["primary"] and not differences(before, lab.states())


@pytest.mark.parametrize("at", ["before-detach", "after-detach", "after-attach", "after-settle"])
def test_a_hook_that_fails_leaves_nothing(world, at):
    lab, machines = world
    machines.hooks(**{at: [machines.hook("fail")]})
    before = lab.states()
    done = lab.json("apply", *MOVE, "--yes", rc=5)
    assert done["state"] == "undone" and done["reason"].endswith("exit status 4: no disk at recovery")
    assert machines.runs() == ["primary"] and lab.answers(machines.client, "192.168.1.10")
    assert not differences(before, lab.states())


def test_paused_and_the_kernel_changes(world):
    """A foreign hand while it is paused: nothing is written until that is gone."""
    lab, machines = world
    machines.hooks(before_detach=[{"pause": "Stop the machine"}], after_attach=[machines.hook()])
    before = lab.states()
    lab.json("apply", *MOVE, "--yes", rc=7)
    assert lab.answers(machines.client, "192.168.1.10")
    ip("-n", lab.router("edge-third"), "route", "add", "192.168.1.0/24", "via", "10.255.13.1", "metric", "5")
    meddled = lab.states()
    assert lab.json("resume", "--yes", rc=3)["drift"][0]["router"] == lab.router("edge-third")
    assert not differences(meddled, lab.states())
    ip("-n", lab.router("edge-third"), "route", "del", "192.168.1.0/24", "via", "10.255.13.1", "metric", "5")
    assert lab.json("resume", "--yes")["state"] == "committed"
    assert machines.runs() == ["recovery"] and lab.answers(machines.client, "192.168.1.10")
    assert lab.json("rollback", "--yes")["state"] == "committed"
    assert not differences(before, lab.states()) and machines.runs() == ["primary"]
