"""What a NIC is at the target: primary, secondary, or not created; and the address that is asked for it.  One test a
rule of docs/site-recovery.md, with simulated routers.
"""
import csv
import io
import json
import os

import pytest
from clitool import FERRY, ROOT, Cli

pytestmark = pytest.mark.skipif(not FERRY, reason="FERRY names no program")

FAILOVER = ["--network", "VMNetwork1-NewYork"]
CHANGED = ["--network", "Changed-Primary"]
STRETCHED = ["--network", "Stretched-Primary"]


def example(tmp_path, name, change=None):
    cli = Cli(tmp_path, os.path.join(ROOT, "topologies", name))

    def simulated(document):
        for router in document["routers"]:
            router["driver"] = {"type": "sim"}
        if change:
            change(document)
    cli.edit(simulated)
    return cli


@pytest.fixture(name="cli")
def make_cli(tmp_path):
    return example(tmp_path, "new-york-chicago.json")


@pytest.fixture(name="changed")
def make_changed(tmp_path):
    """db-1 has a second NIC in the network where addresses change, which is not created."""
    def change(document):
        machine(document, "db-1").update(nics=[
            {"name": "front", "network": "Changed-Primary", "address": "192.168.5.10"},
            {"name": "back", "network": "Changed-Primary", "address": "192.168.5.20", "target-type": "not-created",
             "dns": ["back.example.test", "db.example.test"]}])
        for key in ("network", "address"):
            machine(document, "db-1").pop(key)
    return example(tmp_path, "kinds.json", change)


def machine(document, name):
    return next(w for w in document["workloads"] if w["name"] == name)


def nic(document, name, of):
    return next(n for n in machine(document, of)["nics"] if n["name"] == name)


def row(cli, name, of="VM9", *argv):
    return next(r for r in cli.json("addresses", of, *argv)["addresses"] if r["nic"] == name)


def given(document):
    return {(a["machine"], a["nic"]): (a["after"], a["reason"]) for a in document.get("addresses", [])}


# ---- Primary, secondary, not created ----

def test_the_type_of_each_nic_is_shown(cli):
    types = {(r["machine"], r["nic"]): r["target_type"] for r in cli.json("addresses")["addresses"]}
    assert types["VM9", "front"] == "primary" and types["VM9", "jobs"] == "secondary" and types["VM9", "backup"] == "not-created"
    assert types["VM1", "nic0"] == "primary", "the only one"
    assert (types["VM4", "front"], types["VM4", "back"]) == ("primary", "secondary"), "the first, where nothing is said"
    lines = csv.DictReader(io.StringIO(cli.run("addresses", "--csv").stdout))
    assert {(line["machine"], line["nic"]): line["target_type"] for line in lines} == types


def test_a_nic_that_is_not_created_has_a_reason_of_its_own(cli):
    got = row(cli, "backup")
    assert (got["before"], got["network_after"], got["after"], got["reason"]) == ("192.168.1.21", None, None, "not-created")
    assert got["why"] == "the machine has no such NIC there"
    assert "not created" in cli.run("addresses", "VM9").stdout
    cli.run("addresses", "VM9", "--detailed-exitcode", rc=2)


def test_its_address_is_free_for_others_there(cli):
    cli.edit(lambda d: (machine(d, "VM3").update(address="192.168.1.21"), nic(d, "backup", "VM9").update(address="192.168.1.22")))
    assert row(cli, "nic0", "VM3")["reason"] == "kept"


def test_nothing_is_reserved_or_given_for_it(cli):
    cli.run("addresses", "VM9", "--reserve", "--yes")
    assert [row(cli, n)["reason"] for n in ("front", "jobs", "backup")] == ["reserved", "reserved", "not-created"]
    assert ("VM9", "backup") not in given(cli.json("plan", *FAILOVER))
    cli.run("apply", *FAILOVER, "--yes")
    assert [row(cli, n)["reason"] for n in ("front", "jobs", "backup")] == ["assigned", "assigned", "not-created"]


def test_what_was_reserved_for_it_before_is_said(cli):
    cli.edit(lambda d: nic(d, "backup", "VM9").pop("target-type"))
    cli.run("addresses", "VM9", "--reserve", "--yes")
    assert row(cli, "backup")["reason"] == "reserved"
    cli.edit(lambda d: nic(d, "backup", "VM9").update({"target-type": "not-created"}))
    assert row(cli, "backup")["reason"] == "not-created" and row(cli, "backup")["stale_reservation"]


def test_failback_gives_it_back_as_it_was(cli):
    got = row(cli, "backup", "VM9", "--failback")
    assert (got["network"], got["before"], got["network_after"], got["subnet_after"], got["after"], got["reason"]) == (
        None, None, "VMNetwork1-NewYork", "apps", "192.168.1.21", "own")
    assert got["why"] == "it was not created there; its own address"
    # Wherever the replica is: it is without this NIC.
    moved = row(cli, "backup", "VM9", "--failback", "--replica", "VM9=VMNetwork2-Chicago")
    assert (moved["network_after"], moved["after"]) == ("VMNetwork1-NewYork", "192.168.1.21")
    cli.run("apply", *FAILOVER, "--yes")
    assert ("VM9", "backup") not in given(cli.json("plan", "--failback"))
    cli.run("apply", "--failback", "--yes")
    assert row(cli, "backup")["before"] == "192.168.1.21"


def test_a_subnet_that_moves_as_a_whole_names_it(cli):
    warning = ("apps: the whole subnet moves from new-york to chicago; machines that move along: VM1, VM3, VM5, VM9; "
               "NICs that are not created there: VM9 (backup)")
    assert warning in cli.json("plan", "--move", "apps=chicago")["warnings"]
    assert warning in cli.run("plan", *FAILOVER).stdout
    cli.run("apply", "--move", "apps=chicago", "--yes")
    (back,) = [w for w in cli.json("plan", "--move", "apps=new-york")["warnings"] if w.startswith("apps: the whole")]
    assert back.endswith("machines that move along: VM1, VM3, VM5, VM7, VM9"), "it is back at home"


def test_a_machine_that_is_all_left_out_of_a_subnet_does_not_move_along(cli):
    cli.edit(lambda d: nic(d, "front", "VM9").update({"target-type": "not-created"}) or nic(d, "jobs", "VM9").update(
        {"target-type": "primary"}))
    (warning,) = [w for w in cli.json("plan", "--move", "apps=chicago")["warnings"] if w.startswith("apps: the whole")]
    assert warning.endswith("machines that move along: VM1, VM3, VM5; NICs that are not created there: VM9 (front), VM9 (backup)")
    assert "machines that move along: VM1, VM3, VM5\n" in cli.run("plan", *FAILOVER).stderr


def test_a_machine_that_is_not_ready_would_lose_it(cli):
    """It stays, and has the NIC still: the subnet would leave it."""
    cli.edit(lambda d: (machine(d, "VM9").update(ready=False), nic(d, "front", "VM9").update(subnet="web", address="192.168.2.20")))
    error = cli.error("plan", "--move", "apps=chicago", rc=4)
    assert error["rule"] == "not-ready" and "VM9" in error["message"]


def test_the_plan_says_whose_address_is_nobodys(changed):
    warnings = changed.json("plan", *CHANGED)["warnings"]
    assert "NIC back of db-1 is not created in Changed-Recovery: nobody has 192.168.5.20 until the failback" in warnings


def test_its_names_stay_and_the_plan_says_where_they_lead(changed):
    plan = changed.json("plan", *CHANGED)
    for name in ("back.example.test.", "db.example.test."):
        assert f"{name} keeps leading to 192.168.5.20, which nobody has until the failback" in plan["warnings"]


def test_its_records_do_not_move_and_its_ttls_are_not_lowered(changed):
    changed.edit(lambda d: (nic(d, "front", "db-1").update(dns="front.example.test"), d.update({"name-servers": [
        {"name": "ns1", "site": "third", "address": "192.0.2.53", "key-file": "/nowhere", "zones": ["example.test"]}]})))

    for argv in ([], ["--dns-ttl", "30s"]):
        assert [n["name"] for n in changed.json("plan", *CHANGED, *argv, "--offline")["names"]] == ["front.example.test."]


def test_a_machine_that_is_not_ready_keeps_it(changed):
    changed.edit(lambda d: machine(d, "db-1").update(ready=False))
    assert not any("not created" in w or "keeps leading" in w for w in changed.json("plan", *CHANGED)["warnings"])


def test_a_saved_plan_gives_it_nothing(cli):
    cli.edit(lambda d: nic(d, "backup", "VM9").pop("target-type"))
    cli.run("plan", *FAILOVER, "--out", cli.path("plan"))
    cli.edit(lambda d: nic(d, "backup", "VM9").update({"target-type": "not-created"}))
    done = cli.run("apply", cli.path("plan"), "--yes", rc=None)
    assert done.returncode in (3, 4) and not os.path.exists(os.path.join(cli.state_dir, "journal.db"))


# ---- Host routes ----

@pytest.fixture(name="hosts")
def make_hosts(tmp_path):
    def change(document):
        machine(document, "web-1").update(nics=[
            {"name": "front", "network": "Stretched-Primary", "address": "192.168.2.10"},
            {"name": "back", "network": "Stretched-Primary", "address": "192.168.2.20", "target-type": "not-created"}])
        for key in ("network", "addresses"):
            machine(document, "web-1").pop(key)
    return example(tmp_path, "host-routes.json", change)


def moved(plan):
    return {s["name"] for g in plan["groups"] for s in g["subnets"]}


def test_its_host_route_stays(hosts):
    done = hosts.run("plan", *STRETCHED, "--out", hosts.path("plan"))
    assert "NIC back of web-1 is not created there: the host route web-1.2 stays" in done.stderr
    assert moved(hosts.json("plan", *STRETCHED)) == {"web-1", "web-2"}
    assert moved(hosts.json("plan", "--move", "web-1=recovery")) == {"web-1"}
    hosts.run("apply", *STRETCHED, "--yes")
    assert hosts.active("web-1.2") == "primary" and hosts.active("web-1") == "recovery"


def test_who_names_its_host_route_is_warned(hosts):
    plan = hosts.json("plan", "--move", "web-1.2=recovery")
    assert moved(plan) == {"web-1.2"}
    assert "web-1.2: NIC back of web-1 is not created at recovery: nobody answers there" in plan["warnings"]
    hosts.run("apply", "--move", "web-1.2=recovery", "--yes")
    assert not any("not created" in w for w in hosts.json("plan", "--move", "web-1.2=primary")["warnings"])


# ---- An address that is asked for ----

JOBS = "192.168.2.50"


def test_what_is_asked_for_has_a_reason_of_its_own(cli):
    got = row(cli, "jobs")
    assert (got["before"], got["asked"], got["after"], got["reason"], got["why"]) == (
        "192.168.4.20", JOBS, JOBS, "asked-for", "asked for, and free")
    assert row(cli, "front")["asked"] is None
    lines = {line["nic"]: line for line in csv.DictReader(io.StringIO(cli.run("addresses", "VM9", "--csv").stdout))}
    assert (lines["jobs"]["asked"], lines["front"]["asked"]) == (JOBS, "")


def test_a_plan_gives_what_is_asked_for_and_failback_takes_it_back(cli):
    assert given(cli.json("plan", *FAILOVER))["VM9", "jobs"] == (JOBS, "asked-for")
    cli.run("apply", *FAILOVER, "--yes")
    assert (row(cli, "jobs")["after"], row(cli, "jobs")["reason"]) == (JOBS, "assigned")
    back = row(cli, "jobs", "VM9", "--failback")
    assert (back["before"], back["after"], back["asked"]) == (JOBS, "192.168.4.20", None)
    cli.run("apply", "--failback", "--yes")
    assert row(cli, "jobs")["reason"] == "asked-for"


def test_what_is_asked_for_is_reserved_like_any_other(cli):
    cli.run("addresses", "VM9", "--reserve", "--yes")
    assert (row(cli, "jobs")["after"], row(cli, "jobs")["reason"], row(cli, "jobs")["why"]) == (JOBS, "reserved", "reserved")
    assert given(cli.json("plan", *FAILOVER))["VM9", "jobs"] == (JOBS, "reserved")


def reserve_for_another(cli):
    """VM3 has what VM9 asks for reserved: it asked first, and does not any more."""
    cli.edit(lambda d: (nic(d, "jobs", "VM9").pop("target-address"),
                        machine(d, "VM3").update({"subnet": "web", "address": "192.168.2.30", "target-address": JOBS})))
    cli.run("addresses", "VM3", "--reserve", "--yes")
    cli.edit(lambda d: (nic(d, "jobs", "VM9").update({"target-address": JOBS}), machine(d, "VM3").pop("target-address")))


def test_what_is_reserved_for_another_is_not_available(cli):
    reserve_for_another(cli)
    got = row(cli, "jobs")
    assert (got["asked"], got["after"], got["reason"]) == (JOBS, "192.168.2.12", "not-available")
    assert got["why"] == f"{JOBS}, which is asked for, is taken by VM3: the next free one"
    error = cli.error("plan", *FAILOVER, rc=4)
    assert error["rule"] == "target-address"
    assert f"VM9 (jobs) would get 192.168.2.12: {JOBS}, which is asked for, is taken by VM3" in error["message"]
    cli.error("apply", *FAILOVER, "--yes", rc=4)
    assert cli.json("history")["transactions"] == []


def test_the_next_free_one_where_one_says_so(cli):
    reserve_for_another(cli)
    plan = cli.json("plan", *FAILOVER, "--override-rule", "target-address")
    assert given(plan)["VM9", "jobs"] == ("192.168.2.12", "not-available")
    assert [o["rule"] if isinstance(o, dict) else o for o in plan["overrides"]] == ["target-address"]
    done = cli.json("apply", *FAILOVER, "--override-rule", "target-address", "--yes")
    shown = cli.json("show", done["id"])
    assert [o["rule"] for o in shown["overrides"]] == ["target-address"]
    assert f"{JOBS}, which is asked for, is taken by VM3" in shown["overrides"][0]["refused"]
    assert row(cli, "jobs")["after"] == "192.168.2.12"
    cli.run("apply", "--failback", "--yes")  # the way back is not asked
    assert cli.json("status")["subnets"][0]["active"] == "new-york"


def test_a_rollback_is_not_asked(cli):
    reserve_for_another(cli)
    cli.run("apply", *FAILOVER, "--override-rule", "target-address", "--yes")
    cli.run("rollback", "--yes")
    assert row(cli, "jobs")["before"] == "192.168.4.20"


def test_where_none_is_left_it_is_refused_too(cli):
    reserve_for_another(cli)

    def shrink(document):
        next(n for n in document["vm-networks"] if n["name"] == "VMNetwork1-Chicago").update(
            pool=["192.168.1.10-192.168.1.99", f"{JOBS}-192.168.2.52"])
        document["workloads"].append({"name": "filler", "network": "VMNetwork1-Chicago", "subnet": "web",
                                      "addresses": ["192.168.2.51", "192.168.2.52"]})
    cli.edit(shrink)
    assert row(cli, "jobs")["reason"] == "exhausted"
    assert "VM9 (jobs) would get no address" in cli.error("plan", *FAILOVER, rc=4)["message"]


def test_a_reservation_of_another_address_stands_until_it_is_released(cli):
    cli.edit(lambda d: nic(d, "jobs", "VM9").pop("target-address"))
    cli.run("addresses", "VM9", "--reserve", "--yes")
    cli.edit(lambda d: nic(d, "jobs", "VM9").update({"target-address": JOBS}))
    got = row(cli, "jobs")
    assert (got["after"], got["reason"]) == ("192.168.2.12", "reserved")
    assert got["why"] == f"reserved; {JOBS}, which is asked for, is not what was reserved"
    assert cli.error("plan", *FAILOVER, rc=4)["rule"] == "target-address"
    cli.run("addresses", "VM9", "--release", "--yes")
    assert row(cli, "jobs")["reason"] == "asked-for"


def test_a_saved_plan_is_asked_again(cli):
    cli.edit(lambda d: nic(d, "jobs", "VM9").pop("target-address"))
    plan = cli.json("plan", *FAILOVER, "--out", cli.path("plan"))
    assert given(plan)["VM9", "jobs"][0] == "192.168.2.12"
    cli.edit(lambda d: nic(d, "jobs", "VM9").update({"target-address": JOBS}))
    plan = cli.json("plan", *FAILOVER)  # as it is now, but with the other address
    plan.pop("id")
    next(a for a in plan["addresses"] if a["nic"] == "jobs").update(after="192.168.2.12", reason="outside-pool")
    with open(cli.path("other"), "w", encoding="utf-8") as f:
        json.dump(plan, f)
    error = cli.error("apply", cli.path("other"), "--yes", rc=4)
    assert error["rule"] == "target-address"
    assert f"VM9 (jobs) would get 192.168.2.12 in VMNetwork1-Chicago, but {JOBS} is asked for" in error["message"]


def test_a_machine_that_is_not_ready_asks_for_nothing(changed):
    changed.edit(lambda d: machine(d, "db-2").update({"ready": False, "target-address": "172.16.1.44"}))
    plan = changed.json("plan", *CHANGED)
    assert ("db-2", "nic0") not in given(plan)
    assert any("db-2 is not ready to move" in w for w in plan["warnings"])


def test_a_mapping_as_if_has_it_or_not(cli):
    """What is asked for is of the mapping of the file."""
    got = row(cli, "jobs", "VM9", "--map", "VMNetwork1-NewYork=VMNetwork2-Chicago")
    assert (got["after"], got["reason"]) == ("10.30.0.16", "not-available")
    assert got["why"] == f"{JOBS}, which is asked for, is not in subnet office of VMNetwork2-Chicago: the next free one"


@pytest.mark.parametrize("asked, words", [
    ("192.168.4.50", "is not in subnet web of VMNetwork1-Chicago"),
    ("192.168.2.100", "is not in the pool of subnet web of VMNetwork1-Chicago"),
    ("192.168.2.1", "is taken by edge-chicago"),
    ("192.168.2.31", "is taken by VM10"),
    ("192.168.2.32", "is taken by VM11"),
    ("192.168.2.33", "is taken by VM12"),
])
def test_what_cannot_be_had_is_refused_with_its_place(cli, asked, words):
    """By whoever is there, keeps it, or asks for it too."""
    cli.edit(lambda d: (nic(d, "jobs", "VM9").update({"target-address": asked}), d.update(workloads=[
        {"name": "VM10", "network": "VMNetwork1-Chicago", "subnet": "web", "address": "192.168.2.31"},
        {"name": "VM11", "network": "VMNetwork1-NewYork", "subnet": "web", "address": "192.168.2.32"},
        {"name": "VM12", "network": "VMNetwork1-NewYork", "subnet": "web", "address": "192.168.2.6", "target-address": "192.168.2.33"},
        *d["workloads"]])))
    said = cli.run("validate", rc=65)
    assert f"/nics/1/target-address: {asked}, which is asked for, {words}" in said.stderr + said.stdout
