"""Site-to-site links, from outside: kinds, the rule local-network, and Woodgrove's recovery network
(docs/site-recovery.md): what the tunnels of policy-based VPNs carry before and after 192.168.1.0/24 is
retained in the cloud, and when each entry moves.
"""
import copy
import json
import os
import re
import subprocess

import pytest
from clitool import FERRY, ROOT, Cli, until

pytestmark = pytest.mark.skipif(not FERRY, reason="FERRY names no program")

WOODGROVE = os.path.join(ROOT, "topologies", "woodgrove.json")
APPS = "192.168.1.0/24"
MOVE = ("--move", "apps=cloud")
KEYS = {"on-premises": "b25wcmVtaXNlcy1nYXRld2F5LXB1YmxpYy1rZXktMDA=", "cloud": "Y2xvdWQtZ2F0ZXdheS1wdWJsaWMta2V5LTAwMDAwMDA=",
        "branch": "YnJhbmNoLWdhdGV3YXktcHVibGljLWtleS0wMDAwMDA="}
TO_CLOUD = "strongswan cloud subnets"                       # on gw-on-premises
TO_ON_PREMISES = "strongswan on-premises subnets"           # on gw-cloud
BRANCH_TO_ON_PREMISES = f"wireguard wg-onprem {KEYS['on-premises']}"
BRANCH_TO_CLOUD = f"wireguard wg-cloud {KEYS['cloud']}"
# What each router's tunnels carry of 192.168.1.0/24.
BEFORE = {"gw-on-premises": {("local", TO_CLOUD)}, "gw-cloud": {("remote", TO_ON_PREMISES)},
          "gw-branch": {("remote", BRANCH_TO_ON_PREMISES)}}
AFTER = {"gw-on-premises": {("remote", TO_CLOUD)}, "gw-cloud": {("local", TO_ON_PREMISES)},
         "gw-branch": {("remote", BRANCH_TO_CLOUD)}}


@pytest.fixture(name="cli")
def make_cli(tmp_path):
    return Cli(tmp_path, WOODGROVE)


def edit(cli, change):
    with open(cli.topology, encoding="utf-8") as f:
        document = json.load(f)
    change(document)
    with open(cli.topology, "w", encoding="utf-8") as f:
        json.dump(document, f, indent=1)


def place(cli, text):
    """LINE:COLUMN of the last place in the file where the text stands."""
    with open(cli.topology, encoding="utf-8") as f:
        before = f.read().rpartition(text)[0]
    return f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"


def selectors(cli, prefix=APPS):
    return {router: {(s["side"], s["tunnel"]) for s in cli.sim(router).get("selectors", []) if s["prefix"] == prefix}
            for router in BEFORE}


def changes(plan, kind="selector"):
    """(phase, router, comes or goes, side, tunnel), in the plan's order."""
    return [(stage["phase"], c["router"], "comes" if c["after"] else "goes",
             (c["after"] or c["before"])["side"], (c["after"] or c["before"])["tunnel"])
            for stage in plan["stages"] for c in stage["changes"] if c["kind"] == kind]


def rewrite(cli, plan, change):
    document = copy.deepcopy(plan)
    change(document)
    for member in ("id", "proof"):
        document.pop(member, None)
    path = cli.path("changed.plan")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(document, f)
    return path


# ---- Kinds. ----

def test_kind_direct_is_the_default_and_has_no_tunnel(cli):
    edit(cli, lambda d: [link.pop(m, None) for link in d["links"] for m in ("kind", "tunnel", "local-networks")])
    assert changes(cli.json("plan", *MOVE)) == []


def test_kind_vpn_is_route_based_so_only_routes_move(cli):
    def to_vpn(d):
        for link in d["links"]:
            link["kind"] = "vpn"
            for member in ("tunnel", "local-networks"):
                link.pop(member, None)
    edit(cli, to_vpn)
    plan = cli.json("plan", *MOVE)
    assert changes(plan) == [] and plan["stages"]


@pytest.mark.parametrize("change, words", [
    (lambda link: link.update(kind="mpls"), "'mpls' is not a kind of link: direct, vpn or vpn-policy"),
    (lambda link: link.update(kind="vpn"), "only a link of kind vpn-policy has 'tunnel'"),
    (lambda link: link.pop("tunnel"), "'tunnel' is missing"),
    (lambda link: link["tunnel"].update(type="openvpn"), "'openvpn' is not a kind of tunnel"),
    (lambda link: link["tunnel"].update(keys=["x", "y"]), "not of a strongswan tunnel"),
    (lambda link: link["tunnel"].update(connections=["a/b", "c;reboot/d"]), "CONNECTION/CHILD is expected"),
    (lambda link: link["tunnel"].update(connections=["a/b"]), "one for each end is expected"),
    (lambda link: link.update({"local-networks": [["10.20.0.1/16"], []]}), "host bits"),
    (lambda link: link.update({"local-networks": [[]]}), "a list for each end is expected"),
])
def test_what_a_link_cannot_say(cli, change, words):
    edit(cli, lambda d: change(d["links"][0]))
    done = cli.run("validate", rc=65)
    assert words in done.stderr + done.stdout and re.search(r"site\.json:\d+:\d+: /links/0", done.stderr + done.stdout)


def test_a_wireguard_interface_has_a_peer_once(cli):
    edit(cli, lambda d: d["links"].append(dict(copy.deepcopy(d["links"][2]), endpoints=["gw-on-premises:wg-branch", "gw-branch:wg-cloud"])))
    assert "has a link through this tunnel already" in cli.run("validate", rc=65).stderr


# ---- Rule local-network. ----

def test_rule_local_network_is_refused_by_validate_where_the_subnet_is_at_home(cli):
    edit(cli, lambda d: d["links"][0]["local-networks"][0].append("192.168.0.0/23"))
    said = cli.run("validate", rc=65).stderr
    assert f"site.json:{place(cli, chr(34) + '192.168.0.0/23')}: /links/0/local-networks/0/2: rule local-network: 192.168.0.0/23" in said
    assert "gw-on-premises" in said and "apps (192.168.1.0/24)" in said


def test_rule_local_network_is_refused_by_plan_where_the_recovery_network_overlaps_the_list(cli):
    edit(cli, lambda d: d["links"][0]["local-networks"][1].append("192.168.0.0/16"))
    cli.run("validate")
    error = cli.error("plan", *MOVE, rc=4)
    assert error["rule"] == "local-network"
    assert f"site.json:{place(cli, chr(34) + '192.168.0.0/16')}: /links/0/local-networks/1/3: 192.168.0.0/16" in error["message"]
    assert cli.error("plan", *MOVE, "--override-rule", "local-network", rc=4)["rule"] == "local-network", "it is firm"


def test_rule_local_network_is_refused_where_the_gateway_holds_it_already(cli):
    cli.run("apply", "--move", "cloud-1=cloud", "--yes")  # nothing to do, but the routers' files are there
    cli.move("cloud", "apps")
    cli.sim_edit("gw-cloud", lambda d: d["selectors"].append({"prefix": APPS, "side": "remote", "tunnel": TO_ON_PREMISES}))
    error = cli.error("plan", "--move", "apps=on-premises", rc=4)
    assert error["rule"] == "local-network" and "gw-cloud (cloud)" in error["message"]


def test_rule_local_network_is_refused_for_a_stretched_subnet(cli):
    edit(cli, lambda d: d["subnets"][0].update(stretched=True))
    error = cli.error("plan", *MOVE, rc=4)
    assert error["rule"] == "local-network" and "stretched" in error["message"]


def test_rule_local_network_is_proven_in_every_state(cli):
    plan = cli.json("plan", *MOVE)

    def late(d):  # the cloud's gateway forgets to take its entry out before the recovery network is attached
        stages = {s["phase"]: s["changes"] for s in d["stages"]}
        entry = next(c for c in stages["detach"] if c["kind"] == "selector")
        stages["detach"].remove(entry)
        stages["settle"].append(entry)
    verdict = cli.json("prove", rewrite(cli, plan, late), rc=4)
    text = verdict["counterexample"]["text"]
    assert (verdict["safe"], verdict["violation"]) == (False, "local-network") and "gw-cloud" in text and TO_ON_PREMISES in text

    def early(d):  # the old site's gateway sends it away while it is still there
        stages = {s["phase"]: s["changes"] for s in d["stages"]}
        entry = next(c for c in stages["attach"] if c["kind"] == "selector")
        stages["attach"].remove(entry)
        stages["prepare"].append(entry)
    verdict = cli.json("prove", rewrite(cli, plan, early), rc=4)
    assert verdict["violation"] == "local-network" and "gw-on-premises" in verdict["counterexample"]["text"]
    assert cli.error("apply", rewrite(cli, plan, early), "--yes", rc=4)["rule"] == "local-network"
    assert cli.json("prove", rewrite(cli, plan, lambda d: None))["safe"]


# ---- Woodgrove. ----

def test_woodgrove_before_and_after_and_back(cli):
    cli.run("validate")
    cli.move("on-premises", "apps")
    plan = cli.json("plan", *MOVE)
    cli.run("apply", *MOVE, "--yes")
    assert selectors(cli) == AFTER
    assert cli.active("apps") == "cloud"
    states = {router: cli.sim(router) for router in BEFORE}
    cli.run("rollback", "--yes")
    assert selectors(cli) == BEFORE
    cli.run("apply", *MOVE, "--yes")
    assert {router: cli.sim(router) for router in BEFORE} == states
    cli.run("apply", "--failback", "--yes")
    assert selectors(cli) == BEFORE and cli.active("apps") == "on-premises"
    assert changes(cli.json("plan", *MOVE)) == changes(plan)


def test_woodgrove_everything_else_stays(cli):
    others = ("192.168.2.0/24", "172.16.1.0/24", "172.16.2.0/24", "192.168.3.0/24")
    cli.run("apply", *MOVE, "--yes")
    there = {prefix: selectors(cli, prefix) for prefix in others}
    assert all(any(entries.values()) for entries in there.values())
    cli.run("rollback", "--yes")
    assert {prefix: selectors(cli, prefix) for prefix in others} == there


def test_woodgrove_each_entry_moves_in_its_stage(cli):
    plan = cli.json("plan", *MOVE)
    assert sorted(changes(plan)) == sorted([
        # ready before the branch turns to the cloud, and before the tunnel between the two sites turns round
        ("prepare", "gw-branch", "comes", "remote", BRANCH_TO_CLOUD),
        ("prepare", "gw-cloud", "comes", "local", TO_ON_PREMISES),
        # out of the cloud gateway's local networks before the recovery network is attached there
        ("detach", "gw-cloud", "goes", "remote", TO_ON_PREMISES),
        # into those of the gateway on premises once nothing is attached there
        ("attach", "gw-on-premises", "comes", "remote", TO_CLOUD),
        # nobody needs these any more
        ("settle", "gw-branch", "goes", "remote", BRANCH_TO_ON_PREMISES),
        ("settle", "gw-on-premises", "goes", "local", TO_CLOUD)])
    turn = [(i, c["kind"]) for i, s in enumerate(plan["stages"]) for c in s["changes"] if c["router"] == "gw-branch"]
    assert turn[0][1] == "selector" and turn[-1][1] == "selector" and turn[0][0] < turn[1][0] < turn[-1][0]
    assert plan["proof"]["certificate"]
    undo = cli.json("plan", *MOVE, "--reverse")
    swapped = {"comes": "goes", "goes": "comes"}
    assert sorted((r, swapped[how], side, t) for _, r, how, side, t in changes(undo)) == sorted(c[1:] for c in changes(plan))


def test_woodgrove_the_document_comes_back_word_for_word(cli):
    cli.run("plan", *MOVE, "--out", cli.path("a.plan"))
    cli.run("prove", cli.path("a.plan"))
    cli.run("apply", cli.path("a.plan"), "--yes")
    assert selectors(cli) == AFTER
    shown = cli.json("show", cli.json("history")["transactions"][0]["id"])
    assert [(c["kind"], c["outcome"]) for s in shown["stages"] for c in s["changes"] if c["kind"] == "selector"] == [("selector", "done")] * 6


def test_woodgrove_a_tunnel_that_was_changed_meanwhile_is_drift(cli):
    cli.move("on-premises", "apps")
    cli.run("apply", *MOVE, "--yes")
    cli.run("rollback", "--yes")
    cli.run("plan", *MOVE, "--out", cli.path("a.plan"))
    cli.sim_edit("gw-cloud", lambda d: d.update(selectors=[s for s in d["selectors"] if s["prefix"] != APPS]))
    before = cli.sim("gw-on-premises")
    error = cli.error("apply", cli.path("a.plan"), "--yes", rc=3)
    assert "gw-cloud" in error["message"] and cli.sim("gw-on-premises") == before


def drifts(cli):
    return [(s["name"], d["router"], d["what"], d["text"]) for s in cli.json("status")["subnets"] for d in s["drift"]]


def change_list(cli, router, change):
    cli.sim_edit(router, lambda d: d.update(selectors=change(d["selectors"])))


def here_and_back(cli):
    """Every router has a file; everything is as it was."""
    cli.run("apply", *MOVE, "--yes")
    assert drifts(cli) == []
    cli.run("rollback", "--yes")
    assert drifts(cli) == []


def test_a_tunnel_that_does_not_carry_what_is_forwarded_into_it_is_drift(cli):
    here_and_back(cli)
    change_list(cli, "gw-cloud", lambda held: [s for s in held if s["prefix"] != APPS])
    assert drifts(cli) == [("apps", "gw-cloud", "tunnel", f"{TO_ON_PREMISES}: does not carry what is forwarded into it")]
    cli.run("status", "--detailed-exitcode", rc=2)


def test_a_tunnel_that_does_not_take_in_what_the_other_end_sends_is_drift(cli):
    here_and_back(cli)
    change_list(cli, "gw-on-premises", lambda held: [s for s in held if s["prefix"] != APPS])
    assert drifts(cli) == [("apps", "gw-on-premises", "tunnel", f"{TO_CLOUD}: does not take in what the other end sends")]


def test_rule_local_network_is_drift_where_a_tunnel_takes_away_what_is_attached_at_its_own_site(cli):
    here_and_back(cli)
    change_list(cli, "gw-on-premises", lambda held: held + [{"prefix": APPS, "side": "remote", "tunnel": TO_CLOUD}])
    assert drifts(cli) == [("apps", "gw-on-premises", "tunnel", f"{TO_CLOUD}: takes away what is attached at its own site")]


def test_a_router_that_holds_no_selector_is_not_judged(cli):
    """Its driver may read none."""
    here_and_back(cli)
    change_list(cli, "gw-cloud", lambda held: [])
    assert drifts(cli) == []


def test_woodgrove_a_plan_names_tunnels_of_the_topology_alone(cli):
    plan = cli.json("plan", *MOVE)

    def other(d):
        for s in d["stages"]:
            for c in s["changes"]:
                if c["kind"] == "selector" and c["router"] == "gw-branch" and c["after"]:
                    c["after"]["tunnel"] = "wireguard wg-other " + KEYS["cloud"]
        d["stages"][-1]["changes"] = d["stages"][-1]["changes"]
    assert cli.error("apply", rewrite(cli, plan, other), "--yes", rc=4)["rule"] == "topology"


@pytest.mark.parametrize("tunnel", ["wireguard wg0 short", "strongswan a b c", "strongswan a", "ssh a b", "wireguard wg0;x " + KEYS["cloud"],
                                    "strongswan $(reboot) x", "wireguard wg-a-name-too-long " + KEYS["cloud"]])
def test_what_is_no_tunnel_is_refused_by_the_reader(cli, tunnel):
    plan = cli.json("plan", *MOVE)

    def change(d):
        next(c for s in d["stages"] for c in s["changes"] if c["kind"] == "selector" and c["after"])["after"]["tunnel"] = tunnel
    assert "is neither 'wireguard INTERFACE KEY'" in cli.error("prove", rewrite(cli, plan, change), rc=65)["message"]


def test_woodgrove_goes_back_by_itself_when_nobody_confirms(cli):
    cli.move("on-premises", "apps")
    cli.run("apply", *MOVE, "--yes", "--confirm-within", "5s", rc=7)
    assert selectors(cli) == AFTER
    until("it to go back", lambda: cli.active("apps") == "on-premises" and selectors(cli) == BEFORE)


def test_a_cloud_that_is_lost_keeps_its_entries_and_the_others_get_theirs(cli):
    cli.run("apply", *MOVE, "--yes")
    os.rename(cli.sim_file("gw-cloud"), cli.path("kept"))
    os.mkdir(cli.sim_file("gw-cloud"))  # a router that does not answer
    cli.run("apply", "--move", "apps=on-premises", "--mode", "disaster", "--unreachable", "gw-cloud", "--attest", "the cloud is gone", "--yes")
    there = {r: {(s["side"], s["tunnel"]) for s in cli.sim(r).get("selectors", []) if s["prefix"] == APPS}
             for r in ("gw-branch", "gw-on-premises")}
    assert ("remote", TO_CLOUD) not in there["gw-on-premises"], "attached there again: rule local-network"
    assert ("remote", BRANCH_TO_ON_PREMISES) in there["gw-branch"]


# ---- The commands. ----

FAKE_WG = """#!/bin/sh -e
# As wg(8) of 1.0.20210914: `show IF allowed-ips` prints KEY, a tab, prefixes; `set IF peer KEY allowed-ips LIST` replaces the list.
state=$WG_STATE
case $1 in
show) while read -r key list; do printf '%s\\t%s\\n' "$key" "${list:-(none)}"; done <$state ;;
set) [ "$3" = peer ] && [ "$5" = allowed-ips ] || exit 1
     awk -v k="$4" -v l="$6" '{ if ($1 == k) { gsub(",", " ", l); print k, l } else print }' $state >$state.new && mv $state.new $state ;;
*) exit 1 ;;
esac
"""


def native(cli, router, *argv):
    """The selector lines of a router, stage by stage."""
    out, here = [], False
    for line in cli.run("plan", *MOVE, "--format", "native", *argv).stdout.splitlines():
        here = line.endswith(router) if line.startswith("# stage") else here
        if here and re.match(r"wg |awk |swanctl ", line):
            out.append(line)
    return out


def test_native_wireguard_lines_change_one_prefix_of_a_list(cli, tmp_path):
    lines = native(cli, "gw-branch")
    assert len(lines) == 2 and all(line.startswith("wg set ") for line in lines)
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "wg").write_text(FAKE_WG)
    (tools / "wg").chmod(0o755)
    state = tmp_path / "peers"
    state.write_text(f"{KEYS['cloud']} 172.16.1.0/24 172.16.2.0/24\n{KEYS['on-premises']} 192.168.1.0/24\n")
    env = dict(os.environ, PATH=f"{tools}:{os.environ['PATH']}", WG_STATE=str(state))
    subprocess.run(["sh", "-ec", lines[0]], env=env, check=True)
    assert state.read_text().splitlines()[0] == f"{KEYS['cloud']} 172.16.1.0/24 172.16.2.0/24 192.168.1.0/24"
    subprocess.run(["sh", "-ec", lines[1]], env=env, check=True)
    assert state.read_text().splitlines()[1].split() == [KEYS["on-premises"]]
    for line in native(cli, "gw-branch", "--reverse"):
        subprocess.run(["sh", "-ec", line], env=env, check=True)
    assert state.read_text().split() == [KEYS["cloud"], "172.16.1.0/24", "172.16.2.0/24", KEYS["on-premises"], "192.168.1.0/24"]


def test_native_strongswan_lines_change_one_prefix_of_a_list(cli, tmp_path):
    (tmp_path / "ferry").mkdir()
    remote, local = tmp_path / "ferry" / "cloud.subnets.remote_ts", tmp_path / "ferry" / "cloud.subnets.local_ts"
    remote.write_text("remote_ts = 172.16.1.0/24,172.16.2.0/24\n")
    local.write_text("local_ts = 192.168.1.0/24, 192.168.2.0/24\n")
    lines = native(cli, "gw-on-premises")
    assert [line.split()[0] for line in lines] == ["awk", "swanctl", "swanctl"] * 2

    def type_in(commands):
        for line in commands:
            if line.startswith("awk"):
                subprocess.run(["sh", "-ec", line.replace("/etc/swanctl/", f"{tmp_path}/")], check=True)
    type_in(lines)
    assert remote.read_text() == "remote_ts = 172.16.1.0/24,172.16.2.0/24,192.168.1.0/24\n"
    assert local.read_text() == "local_ts = 192.168.2.0/24\n"
    type_in(native(cli, "gw-on-premises", "--reverse"))
    assert remote.read_text() == "remote_ts = 172.16.1.0/24,172.16.2.0/24\n"
    assert local.read_text() == "local_ts = 192.168.2.0/24,192.168.1.0/24\n"


@pytest.mark.parametrize("driver", ["netlink", "iproute", "frr"])
def test_drivers_that_change_no_tunnels_still_have_the_commands(cli, driver):
    edit(cli, lambda d: [r.update(driver={"type": driver}) for r in d["routers"]])
    lines = [line for line in cli.run("plan", *MOVE, "--offline", "--format", "native").stdout.splitlines() if line.startswith(("wg ", "swanctl"))]
    assert len([line for line in lines if line.startswith("wg ")]) == 2 and len(lines) == 2 + 4 * 2
