"""Networks, mappings, machines' addresses, from outside.  The published tables of the New York/Chicago example
(docs/site-recovery.md says where they stand) are written down here once more and held against what the
commands say.
"""
import csv
import io
import json
import os

import pytest
from clitool import FERRY, ROOT, Cli

pytestmark = pytest.mark.skipif(not FERRY, reason="FERRY names no program")

EXAMPLE = os.path.join(ROOT, "topologies", "new-york-chicago.json")

# Location, server, VM network, mapped to.
NETWORKS = [("new-york", "VMM-NewYork", "VMNetwork1-NewYork", "VMNetwork1-Chicago"),
            ("new-york", "VMM-NewYork", "VMNetwork2-NewYork", None),
            ("chicago", "VMM-Chicago", "VMNetwork1-Chicago", "VMNetwork1-NewYork"),
            ("chicago", "VMM-Chicago", "VMNetwork2-Chicago", None)]
# Protected cloud, protecting cloud, logical networks.
CLOUDS = [("GoldCloud1", "GoldCloud2", []), ("SilverCloud1", "SilverCloud2", []),
          ("GoldCloud2", None, ["LogicalNetwork1-NewYork", "LogicalNetwork1-Chicago"]),
          ("SilverCloud2", None, ["LogicalNetwork1-NewYork", "LogicalNetwork1-Chicago"])]
# Location, logical network, VM network.
LOGICAL = [("new-york", "LogicalNetwork1-NewYork", "VMNetwork1-NewYork"), ("chicago", "LogicalNetwork1-Chicago", "VMNetwork1-Chicago"),
           ("chicago", "LogicalNetwork2Chicago", "VMNetwork2-Chicago")]
# Selected target, protected cloud, protecting cloud, available.
TARGETS = [("VMNetwork1-Chicago", "SilverCloud1", "SilverCloud2", True), ("VMNetwork1-Chicago", "GoldCloud1", "GoldCloud2", True),
           ("VMNetwork2-Chicago", "SilverCloud1", "SilverCloud2", False), ("VMNetwork2-Chicago", "GoldCloud1", "GoldCloud2", True)]


@pytest.fixture(name="cli")
def make_cli(tmp_path):
    return Cli(tmp_path, EXAMPLE)


def rows(cli, *argv, **kwargs):
    """(machine, network after, address after, reason) of each row."""
    return [(r["machine"], r["network_after"], r["after"], r["reason"])
            for r in cli.json("addresses", *argv, **kwargs)["addresses"]]


def columns(text):
    """Rows of the tables that the command prints, split at their columns' heads; one list a table."""
    tables = []
    for block in text.strip().split("\n\n"):
        lines = block.splitlines()
        starts = [i for i, c in enumerate(lines[0]) if c != " " and (i == 0 or lines[0][i - 1] == " ")]
        # a head of two words is one column
        starts = [i for i in starts if not any(lines[0][:i].endswith(w + " ") for w in ("VM", "MAPPED", "PROTECTED", "PROTECTING",
                                                                                       "LOGICAL", "TARGET"))
                  or lines[0][i:].startswith(("PROTECTED", "PROTECTING"))]
        tables.append([[line[a:b].strip() for a, b in zip(starts, starts[1:] + [None])] for line in lines[1:]])
    return tables


# ---- The published tables ----

def test_table_of_locations_servers_and_mappings(cli):
    doc = cli.json("networks")
    assert [(n["site"], n["server"], n["name"], n["mapped_to"]) for n in doc["networks"]] == NETWORKS
    assert [(m["source"], m["target"]) for m in doc["mappings"]] == [(n[2], n[3]) for n in NETWORKS if n[3]]
    shown = columns(cli.run("networks").stdout)[0]
    assert [tuple(r[:4]) for r in shown] == [(s, v, n, m or "not mapped") for s, v, n, m in NETWORKS]


def test_table_of_cloud_protection_settings(cli):
    """GoldCloud2 has one logical network more than the published table: without it the published result would be
    another.
    """
    got = [(c["name"], c["protected_by"], c["logical_networks"]) for c in cli.json("networks")["clouds"]]
    assert [(n, p, [x for x in nets if x != "LogicalNetwork2Chicago"]) for n, p, nets in got] == CLOUDS
    assert [n for n, _, nets in got if "LogicalNetwork2Chicago" in nets] == ["GoldCloud2"]
    shown = columns(cli.run("networks").stdout)[1]
    assert [(r[0], r[2]) for r in shown] == [(n, p or "-") for n, p, _ in CLOUDS]


def test_table_of_logical_and_vm_networks(cli):
    """One row more than published, which is silent of where VMNetwork2-NewYork is."""
    doc = cli.json("networks")
    got = [(n["site"], n["logical_network"], n["name"]) for n in doc["networks"]]
    assert [r for r in got if r[2] != "VMNetwork2-NewYork"] == LOGICAL
    shown = [tuple(r) for r in columns(cli.run("networks").stdout)[2]]
    assert sorted(shown) == sorted(LOGICAL + [("new-york", "LogicalNetwork2-NewYork", "VMNetwork2-NewYork")])


def test_table_of_target_networks(cli):
    argv = ["networks", "--target", "VMNetwork1-Chicago", "--target", "VMNetwork2-Chicago"]
    targets = cli.json(*argv)["targets"]
    assert sorted((t["target"], t["protected"], t["protecting"], t["available"]) for t in targets) == sorted(TARGETS)
    assert [t["why"] for t in targets if not t["available"]] == [
        "its logical network LogicalNetwork2Chicago is not associated with SilverCloud2"]
    shown = columns(cli.run(*argv).stdout)[0]
    assert sorted((r[0], r[1], r[2], r[3] == "available") for r in shown) == sorted(TARGETS)


def test_gold_offers_vmnetwork2_by_its_logical_network_alone(cli):
    def as_published(document):
        next(c for c in document["clouds"] if c["name"] == "GoldCloud2")["logical-networks"].remove("LogicalNetwork2Chicago")
    cli.edit(as_published)
    targets = cli.json("networks", "--target", "VMNetwork2-Chicago")["targets"]
    assert not any(t["available"] for t in targets)


def test_the_clouds_that_use_the_source_and_the_targets_for_them(cli):
    targets = cli.json("networks", "--source", "VMNetwork1-NewYork")["targets"]
    assert {t["protected"] for t in targets} == {"GoldCloud1", "SilverCloud1"}
    assert {t["target"] for t in targets} == {n[2] for n in NETWORKS} - {"VMNetwork1-NewYork"}
    assert all("source's site" in t["why"] for t in targets if t["target"] == "VMNetwork2-NewYork")
    cli.edit(lambda d: d["workloads"][1].pop("cloud") and d["workloads"][2].pop("cloud"))  # Silver has no machine there any more
    targets = cli.json("networks", "--source", "VMNetwork1-NewYork", "--target", "VMNetwork1-Chicago")["targets"]
    assert [t["protected"] for t in targets] == ["GoldCloud1"]
    assert "no protected cloud uses it" in cli.run("networks", "--source", "VMNetwork2-NewYork").stderr


def test_replicas_follow_the_mapping(cli):
    """Any machine of VMNetwork1-NewYork is connected to VMNetwork1-Chicago; of the unmapped networks, to none."""
    for row in cli.json("addresses")["addresses"]:
        mapped = {n[2]: n[3] for n in NETWORKS}[row["network"]] if row["target_type"] != "not-created" else None
        assert row["network_after"] == mapped
        if row["target_type"] == "not-created":
            continue
        assert (row["reason"] == "disconnected") == (mapped is None)
    assert rows(cli, "VM6") == [("VM6", None, None, "disconnected")]
    assert "VMNetwork2-NewYork is not mapped" in cli.run("addresses", "VM6").stdout


def test_a_new_machine_follows_by_itself(cli):
    cli.edit(lambda d: d["workloads"].append({"name": "new", "network": "VMNetwork1-NewYork", "address": "192.168.1.50"}))
    assert rows(cli, "new") == [("new", "VMNetwork1-Chicago", "192.168.1.50", "kept")]


def test_subnets_by_name_else_the_first(cli):
    after = {(r["machine"], r["nic"]): (r["subnet"], r["subnet_after"]) for r in cli.json("addresses")["addresses"]}
    assert after["VM1", "nic0"] == ("apps", "apps")
    assert after["VM4", "front"] == ("web", "web")
    assert after["VM4", "back"] == ("batch", "web")


# ---- The failback table: VM1 and its replica ----

@pytest.mark.parametrize("argv, network, address, words", [
    ([], "VMNetwork1-NewYork", "192.168.1.10", "nothing was changed"),
    (["--replica", "VM1=disconnected"], None, None, "its replica was disconnected"),
    (["--replica", "VM1=VMNetwork2-Chicago"], None, None, "VMNetwork2-Chicago, where its replica is, is not mapped"),
    (["--map", "VMNetwork1-Chicago=VMNetwork2-NewYork"], "VMNetwork2-NewYork", "10.20.0.11",
     "VMNetwork1-Chicago is mapped to VMNetwork2-NewYork now"),
])
def test_failback_table(cli, argv, network, address, words):
    (row,) = cli.json("addresses", "VM1", "--failback", *argv)["addresses"]
    assert (row["network_after"], row["after"]) == (network, address)
    assert words in row["why"]
    assert words in cli.run("addresses", "VM1", "--failback", *argv).stdout


def test_failback_starts_where_the_replica_is(cli):
    (row,) = cli.json("addresses", "VM3", "--failback")["addresses"]
    assert (row["network"], row["before"], row["network_after"], row["after"]) == (
        "VMNetwork1-Chicago", "192.168.1.12", "VMNetwork1-NewYork", "192.168.1.11")


def test_replica_and_mapping_of_the_file_do_the_same(cli):
    cli.edit(lambda d: d["workloads"][0].update(replica="disconnected"))
    assert rows(cli, "VM1", "--failback") == [("VM1", None, None, "disconnected")]


def test_unmapping(cli):
    assert rows(cli, "VM1", "--map", "VMNetwork1-NewYork=none") == [("VM1", None, None, "disconnected")]


# ---- Addresses ----

def test_addresses_and_why(cli):
    assert rows(cli) == [
        ("VM1", "VMNetwork1-Chicago", "192.168.1.10", "kept"),
        ("VM3", "VMNetwork1-Chicago", "192.168.1.12", "taken"),
        ("VM4", "VMNetwork1-Chicago", "192.168.2.10", "outside-pool"),
        ("VM4", "VMNetwork1-Chicago", "192.168.2.11", "outside-pool"),
        ("VM5", "VMNetwork1-Chicago", None, "dhcp"),
        ("VM6", None, None, "disconnected"),
        ("VM7", "VMNetwork1-NewYork", "192.168.1.12", "taken"),
        ("VM8", None, None, "disconnected"),
        ("VM9", "VMNetwork1-Chicago", "192.168.1.20", "kept"),
        ("VM9", "VMNetwork1-Chicago", "192.168.2.50", "asked-for"),
        ("VM9", None, None, "not-created")]
    text = cli.run("addresses").stdout
    assert "192.168.1.11 is taken by VM7: the next free one" in text
    assert "192.168.2.5 is not in the pool: the next free one" in text
    assert not os.path.exists(cli.state_dir), "looking writes nothing"


def test_only_machines_and_networks_that_were_named(cli):
    assert [r[0] for r in rows(cli, "VM7", "VM1")] == ["VM1", "VM7"]
    assert [r[0] for r in rows(cli, "--network", "VMNetwork2-NewYork")] == ["VM6"]
    assert rows(cli, "VM1", "--network", "VMNetwork2-NewYork") == []


def test_csv_says_what_json_says(cli):
    text = cli.run("addresses", "--csv").stdout
    got = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    document = cli.json("addresses")["addresses"]
    assert len(got) == len(document) == 11
    for line, row in zip(got, document):
        assert {k: v or None for k, v in line.items()} == {k: row[k] for k in line}
    assert text.splitlines()[0] == "machine,nic,assignment,network,subnet,before,network_after,subnet_after,after,reason,why,target_type,asked"
    # a comma in a field
    failback = cli.run("addresses", "--csv", "VM1", "--failback", "--replica", "VM1=VMNetwork2-Chicago").stdout
    assert next(csv.DictReader(io.StringIO(failback)))["why"] == "VMNetwork2-Chicago, where its replica is, is not mapped"


def test_detailed_exitcode(cli):
    cli.run("addresses", "VM1", "--detailed-exitcode")
    cli.run("addresses", "VM5", "--detailed-exitcode")  # DHCP: nothing of Ferry's changes
    cli.run("addresses", "VM3", "--detailed-exitcode", rc=2)
    cli.run("addresses", "VM6", "--detailed-exitcode", rc=2)


# ---- DHCP ----

def test_a_target_that_does_not_lease_the_sources_range_is_warned_of(cli):
    (warning,) = cli.json("addresses")["warnings"]
    assert warning == ("DHCP of VMNetwork1-Chicago (subnet apps) does not lease 192.168.1.150-192.168.1.199, "
                       "which that of VMNetwork1-NewYork does")
    assert warning in cli.run("addresses").stderr
    assert cli.json("addresses", "VM1")["warnings"] == [], "no machine by DHCP was asked about"


def test_a_target_that_leases_it_all_is_not(cli):
    cli.edit(lambda d: next(n for n in d["vm-networks"] if n["name"] == "VMNetwork1-Chicago").update(
        dhcp=["192.168.1.160-192.168.1.240", "192.168.1.100-192.168.1.159"]))
    assert cli.json("addresses")["warnings"] == []


def test_an_unknown_dhcp_range_is_said(cli):
    cli.edit(lambda d: next(n for n in d["vm-networks"] if n["name"] == "VMNetwork1-NewYork").pop("dhcp"))
    assert ["names no DHCP range" in w for w in cli.json("addresses")["warnings"]] == [True]


# ---- What should be looked at ----

def test_warnings_of_networks(cli):
    assert cli.json("networks")["warnings"] == []

    def change(document):
        document["logical-networks"].append({"name": "unused"})
        document["mappings"] = [{"source": "VMNetwork1-NewYork", "target": "VMNetwork1-Chicago"},
                                {"source": "VMNetwork1-Chicago", "target": "VMNetwork2-NewYork"}]
        next(c for c in document["clouds"] if c["name"] == "GoldCloud2")["logical-networks"] = []
        next(c for c in document["clouds"] if c["name"] == "SilverCloud2").pop("logical-networks")
    cli.edit(change)
    warnings = cli.json("networks")["warnings"]
    assert warnings == [
        "logical network unused has no VM network",
        "VMNetwork1-NewYork is mapped to VMNetwork1-Chicago, which is available for no cloud that uses it",
        "VMNetwork1-NewYork is mapped to VMNetwork1-Chicago, but VMNetwork1-Chicago to VMNetwork2-NewYork: machines fail back there"]
    shown = cli.run("networks").stderr
    assert all(w in shown for w in warnings)


# ---- Reservations ----

def reserved(cli, *argv):
    return [(r["machine"], r["after"]) for r in cli.json("addresses", *argv)["addresses"] if r["reason"] == "reserved"]


def test_a_reservation_outlives_what_would_have_changed_it(cli):
    cli.run("addresses", "VM3", "--reserve", "--yes")
    assert reserved(cli) == [("VM3", "192.168.1.12")]
    # A machine that would keep .12 comes along: it is reserved, so it gets the next one.
    cli.edit(lambda d: d["workloads"].insert(0, {"name": "new", "network": "VMNetwork1-NewYork", "address": "192.168.1.12"}))
    assert rows(cli, "new", "VM3") == [("new", "VMNetwork1-Chicago", "192.168.1.13", "taken"),
                                       ("VM3", "VMNetwork1-Chicago", "192.168.1.12", "reserved")]
    assert [e["what"] for e in cli.json("audit")["entries"]] == ["log-begins", "reserve"]
    assert cli.json("audit", "verify")["ok"]
    # Without the reservation it is the other way round.
    cli.run("addresses", "VM3", "--release", "--yes")
    assert rows(cli, "new", "VM3") == [("new", "VMNetwork1-Chicago", "192.168.1.12", "kept"),
                                       ("VM3", "VMNetwork1-Chicago", "192.168.1.13", "taken")]


def test_reserving_again_and_releasing(cli):
    doc = cli.json("addresses", "--reserve", "--yes")
    first = [(r["machine"], r["after"]) for r in doc["addresses"] if r["reason"] == "reserved"]
    assert len(first) == 7 and first == reserved(cli)
    cli.run("addresses", "--reserve", "--yes")
    assert first == reserved(cli)
    done = cli.run("addresses", "VM4", "--release", "--yes")
    assert "released: 2 addresses" in done.stderr
    assert [m for m, _ in reserved(cli)] == ["VM1", "VM3", "VM7", "VM9", "VM9"]
    cli.run("addresses", "--release", "--yes")
    assert reserved(cli) == []


def test_a_reservation_that_does_not_hold_is_said(cli):
    cli.run("addresses", "VM3", "--reserve", "--yes")
    cli.edit(lambda d: d["workloads"].append({"name": "there", "network": "VMNetwork1-Chicago", "address": "192.168.1.12"}))
    (row,) = cli.json("addresses", "VM3")["addresses"]
    assert row["stale_reservation"] and row["after"] == "192.168.1.13"
    assert "what was reserved does not hold any more" in row["why"]
    # Reserving anew puts it right.
    cli.run("addresses", "VM3", "--reserve", "--yes")
    (row,) = cli.json("addresses", "VM3")["addresses"]
    assert not row["stale_reservation"] and row["after"] == "192.168.1.13" and row["reason"] == "reserved"


def test_a_machine_that_is_gone_keeps_nothing_in_secret(cli):
    cli.run("addresses", "VM3", "--reserve", "--yes")
    cli.edit(lambda d: d["workloads"].pop(1))
    assert any("VM3, which the topology does not know" in w for w in cli.json("addresses")["warnings"])
    cli.run("addresses", "--release", "--yes")
    assert not any("VM3" in w for w in cli.json("addresses")["warnings"])


def test_reservations_ask(cli):
    error = cli.error("addresses", "--reserve", rc=4)
    assert error["rule"] == "confirmation"
    assert not os.path.exists(cli.state_dir)
    status, shown = cli.terminal("addresses", "VM3", "--reserve", answer="no")
    assert status == 1 and "192.168.1.12" in shown and not os.path.exists(cli.state_dir)
    assert cli.terminal("addresses", "VM3", "--reserve", answer="yes")[0] == 0
    assert reserved(cli) == [("VM3", "192.168.1.12")]
    assert cli.error("addresses", "--release", rc=4)["rule"] == "confirmation"


def test_reservations_wait_for_no_transaction(cli):
    """They take the lock: while a move runs there is exit 8, and nothing is written."""
    import fcntl
    cli.run("addresses", "VM3", "--reserve", "--yes")
    with open(os.path.join(cli.state_dir, "lock"), "r+", encoding="utf-8") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        cli.run("addresses", "VM4", "--reserve", "--yes", rc=8)
    assert reserved(cli) == [("VM3", "192.168.1.12")]


# ---- Plans that follow from the mappings ----

def assert_same_routes(by_mapping, by_hand):
    """A plan from a mapping says the machines' addresses too, and which NIC gets none."""
    assert by_mapping["addresses"] and "addresses" not in by_hand
    for plan in (by_mapping, by_hand):
        for key in ("id", "addresses"):
            plan.pop(key, None)
        plan["warnings"] = [w for w in plan["warnings"] if not w.startswith("NIC backup of VM9")]
    assert by_mapping == by_hand


def test_a_plan_follows_from_the_mapping_and_says_who_moves_along(cli):
    done = cli.run("plan", "--network", "VMNetwork1-NewYork")
    assert "apps 192.168.1.0/24: subnet apps moves to chicago; machines that move along: VM1, VM3, VM5, VM9\n" in done.stderr
    assert "batch 192.168.4.0/24: VMNetwork1-Chicago, subnet web, has other addresses: no route changes\n" in done.stderr
    assert "warning: DHCP of VMNetwork1-Chicago (subnet apps) does not lease 192.168.1.150-192.168.1.199" in done.stderr
    assert_same_routes(cli.json("plan", "--network", "VMNetwork1-NewYork"),
                       cli.json("plan", "--move", "apps=chicago", "--move", "web=chicago"))


def test_failover_and_failback_by_the_mappings_alone(cli):
    cli.run("apply", "--network", "VMNetwork1-NewYork", "--yes")
    assert (cli.active("apps"), cli.active("web")) == ("chicago", "chicago")
    assert cli.json("plan", "--network", "VMNetwork1-NewYork")["stages"] == []
    cli.run("apply", "--network", "VMNetwork1-Chicago", "--yes")
    assert (cli.active("apps"), cli.active("web")) == ("new-york", "new-york")
    assert rows(cli, "VM1") == [("VM1", "VMNetwork1-Chicago", "192.168.1.10", "kept")]  # it is at home again
    doc = cli.json("drill", "--network", "VMNetwork1-NewYork", "--yes")
    assert doc["applied_verified"] and doc["rolled_back_verified"] and cli.active("apps") == "new-york"


def test_a_subnet_of_other_addresses_moves_no_route(cli):
    def readdress(document):
        net = next(n for n in document["vm-networks"] if n["name"] == "VMNetwork1-Chicago")
        net.update(subnets=[{"name": "apps", "prefix": "172.16.1.0/24"}], pool=["172.16.1.10-172.16.1.99"])
        net.pop("dhcp")
        document["workloads"] = [w for w in document["workloads"] if w["name"] not in ("VM7", "VM9")]
    cli.edit(readdress)
    plan = cli.json("plan", "--network", "VMNetwork1-NewYork")
    assert plan["stages"] == [] and [a["after"] for a in plan["addresses"]] == [f"172.16.1.{i}" for i in range(10, 14)]
    assert rows(cli, "VM1") == [("VM1", "VMNetwork1-Chicago", "172.16.1.10", "outside-pool")]


def test_a_retained_subnet_that_is_not_routed_is_warned_of(cli):
    cli.edit(lambda d: d["subnets"].pop(1))
    done = cli.run("plan", "--network", "VMNetwork1-NewYork")
    assert "web 192.168.2.0/24: the topology routes no such subnet" in done.stderr
    assert_same_routes(cli.json("plan", "--network", "VMNetwork1-NewYork"), cli.json("plan", "--move", "apps=chicago"))


# ---- Usage ----

@pytest.mark.parametrize("argv, words", [
    (["networks", "--target", "VMNetwork1-Chicag"], "unknown network 'VMNetwork1-Chicag'; did you mean 'VMNetwork1-Chicago'?"),
    (["networks", "--source", "x", "--source", "y"], "--source stands twice"),
    (["plan", "--network", "VMNetwork2-NewYork"], "VMNetwork2-NewYork is not mapped, so nothing follows"),
    (["plan", "--network", ""], "unknown network ''"),
    (["plan", "--network", "VMNetwork1-NewYork", "--move", "apps=chicago"], "exclude each other"),
    (["plan", "--network", "VMNetwork1-NewYork", "--network", "VMNetwork1-Chicago"], "subnet web would go to chicago and to new-york"),
    (["addresses", "VM"], "unknown machine 'VM'"),
    (["addresses", "--network", "nowhere"], "unknown network 'nowhere'"),
    (["addresses", "--replica", "VM1=disconnected"], "--replica goes with --failback"),
    (["addresses", "--failback", "--replica", "VM1"], "not NAME=NETWORK"),
    (["addresses", "--failback", "--replica", "VM1=nowhere"], "unknown network 'nowhere'"),
    (["addresses", "--map", "VMNetwork1-NewYork=VMNetwork2-NewYork"], "at the same site"),
    (["addresses", "--reserve", "--release"], "exclude each other"),
    (["addresses", "--reserve", "--failback"], "for failovers as the topology has them"),
    (["addresses", "--yes"], "--yes goes with"),
])
def test_usage_errors(cli, argv, words):
    assert words in cli.run(*argv, rc=64).stderr
    assert words in cli.error(*argv, rc=64)["message"]
    assert not os.path.exists(cli.state_dir)


def test_csv_and_json_exclude_each_other(cli):
    cli.run("addresses", "--csv", "--json", rc=64)


def test_a_topology_without_networks(tmp_path):
    cli = Cli(tmp_path)
    assert "says nothing of networks" in cli.run("networks").stderr
    assert "says nothing of machines" in cli.run("addresses").stderr
    assert cli.json("networks")["networks"] == [] and cli.json("addresses")["addresses"] == []
    assert "unknown network" in cli.run("networks", "--target", "x", rc=64).stderr
    cli.run("addresses", "VM1", rc=64)


@pytest.mark.parametrize("line, expected", [
    ("ferry networks --target VMNetwork2", ["VMNetwork2-NewYork", "VMNetwork2-Chicago"]),
    ("ferry addresses VM", ["VM1", "VM3", "VM4", "VM5", "VM6", "VM7", "VM8", "VM9"]),
    ("ferry addresses --replica VM1=d", ["VM1=disconnected"]),
    ("ferry addresses --map VMNetwork2-Chicago", ["VMNetwork2-Chicago="]),
    ("ferry plan --network VMNetwork1-C", ["VMNetwork1-Chicago"]),
    ("ferry addresses --network VMNetwork1-C", ["VMNetwork1-Chicago"]),
])
def test_completion(cli, line, expected):
    assert cli.run("__complete", line).stdout.split() == expected


def test_other_verbs_take_the_topology(cli):
    """Routes move as ever: the sections are beside what the planner reads."""
    assert cli.json("plan", "--move", "apps=chicago", "--offline")["stages"]
    cli.run("apply", "--move", "apps=chicago", "--yes")
    assert cli.active("apps") == "chicago"
