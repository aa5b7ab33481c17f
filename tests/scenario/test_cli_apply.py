"""The verbs that write, on simulated routers: apply, drill, rollback, recover; their questions and exit statuses."""
import json
import os
import re
import signal
import subprocess

import pytest
from clitool import FERRY, Cli, until

pytestmark = pytest.mark.skipif(not FERRY, reason="FERRY names no program")

MOVE = ["--move", "app=recovery"]
ROUTERS = ["edge-primary", "edge-recovery", "edge-third"]


@pytest.fixture(name="cli")
def make_cli(tmp_path):
    return Cli(tmp_path)


def holdings(cli):
    """What every simulated router holds; None: untouched so far."""
    return {r: cli.sim(r) if os.path.exists(cli.sim_file(r)) else None for r in ROUTERS}


def touched_and_home(cli):
    """A move there and back, so that every router has a file to compare with."""
    cli.move("recovery")
    cli.run("rollback", "--yes")
    return holdings(cli)


# ---- apply ----

def test_apply(cli):
    done = cli.run("apply", *MOVE, "--yes")
    assert "moved app: primary → recovery" in done.stdout and "Roll back: ferry rollback 2" in done.stdout
    assert "stage 2/4 detach" in done.stderr and "stage 2/4" not in done.stdout
    assert cli.active() == "recovery" and cli.active("db") == "primary"
    assert "Nothing to do" in cli.run("apply", *MOVE, "--yes").stdout
    assert cli.json("apply", *MOVE, "--yes")["nothing_to_do"] is True


def test_a_saved_plan_that_changes_nothing(cli):
    """It does not say that a subnet is anywhere; what it says of routers is held against them."""
    empty, stays = cli.path("empty.plan"), cli.path("stays.plan")
    cli.run("plan", "--move", "app=primary", "--out", empty)
    document = cli.json("plan", *MOVE)
    document["stages"] = []
    del document["id"], document["proof"]
    with open(stays, "w", encoding="utf-8") as f:
        json.dump(document, f)
    assert cli.error("apply", stays, "--yes", rc=4)["rule"] == "unfinished"
    cli.run("apply", *MOVE, "--yes")
    assert "this plan changes nothing" in cli.run("apply", empty, "--yes").stdout
    assert cli.json("apply", empty, "--yes")["nothing_to_do"] is True
    assert cli.error("apply", stays, "--yes", rc=4)["rule"] == "unfinished"
    assert len(cli.json("history")["transactions"]) == 1


def test_apply_json_is_the_transaction(cli):
    doc = cli.json("apply", *MOVE, "--yes")
    assert doc["state"] == "committed" and doc["kind"] == "apply" and doc["outage"] == []
    assert doc == cli.json("show", doc["id"])


def test_apply_saved_plan(cli):
    cli.run("plan", *MOVE, "--out", "move.plan")
    doc = cli.json("apply", "move.plan", "--yes")
    with open(cli.path("move.plan"), encoding="utf-8") as f:
        assert doc["plan"] == json.load(f)["id"]
    assert cli.active() == "recovery"


def test_apply_refuses_a_changed_plan(cli):
    cli.run("plan", *MOVE, "--out", "move.plan")
    with open(cli.path("move.plan"), encoding="utf-8") as f:
        doc = json.load(f)
    doc["stages"].pop()
    with open(cli.path("move.plan"), "w", encoding="utf-8") as f:
        json.dump(doc, f)
    assert "the id is not that of the content" in cli.error("apply", "move.plan", "--yes", rc=65)["message"]
    cli.run("apply", "missing.plan", "--yes", rc=65)
    assert not os.path.exists(cli.state_dir)


def test_apply_refuses_another_topology(cli):
    cli.run("plan", *MOVE, "--out", "move.plan")
    with open(cli.topology, "a", encoding="utf-8") as f:
        f.write("\n")
    error = cli.error("apply", "move.plan", "--yes", rc=3)
    assert "the topology file was changed" in error["message"]
    assert not os.path.exists(cli.state_dir)


def plan_edited(cli, edit):
    """A saved plan that claims no id, so that only its words can betray it."""
    doc = cli.json("plan", *MOVE)
    doc.pop("id")
    edit(doc)
    with open(cli.path("edited.plan"), "w", encoding="utf-8") as f:
        json.dump(doc, f)
    return "edited.plan"


def stretch(doc):
    """Calls the third site the recovery one and attaches there too: proven by its own words."""
    doc["routers"]["edge-third"]["site"] = "recovery"
    gateway = {"router": "edge-third", "interface": "lan0", "address": "192.168.1.1/24"}
    doc["groups"][0]["subnets"][0]["gateways"].append(gateway)
    doc["stages"][2]["changes"].append(
        {"router": "edge-third", "group": "g1", "kind": "gateway", "before": None, "after": {"type": "gateway"}})


def turn_back(doc):
    """A way back to the old site that calls itself one to the new."""
    hop = next(c for c in doc["stages"][0]["changes"] if c["router"] == "edge-third")["after"]["nexthops"][0]
    hop.update(via="10.255.13.1", dev="to-primary")


def rename(doc):
    doc["groups"][0]["subnets"][0]["name"] = "other"


def another_driver(doc):
    doc["routers"]["edge-third"]["driver"] = {"type": "netlink", "netns": "elsewhere"}


def another_address(doc):
    doc["groups"][0]["subnets"][0]["gateways"][1]["address"] = "192.168.1.77/24"


def another_table(doc):
    doc["stages"][0]["changes"][0]["table"] = 100
    doc["stages"][0]["changes"][0]["after"]["table"] = 100


@pytest.mark.parametrize("edit, text", [
    (stretch, "puts edge-third at recovery, the topology at third"),
    (turn_back, "by the topology it leads to edge-primary"),
    (rename, "moves other (192.168.1.0/24), which the topology does not have"),
    (another_driver, "reaches edge-third by another driver"),
    (another_address, "gateway of app on edge-recovery is not the topology's"),
    (another_table, "in table 100"),
])
def test_apply_refuses_a_plan_that_misdescribes_the_network(cli, edit, text):
    if edit is not another_table:  # which is no longer proven
        cli.run("prove", plan_edited(cli, edit))
    error = cli.error("apply", plan_edited(cli, edit), "--yes", rc=4)
    assert error["rule"] == "topology" and text in error["message"]
    assert not os.path.exists(cli.state_dir)


def test_apply_takes_nothing_for_proven_but_what_it_has_proven(cli):
    honest = cli.run("plan", *MOVE, "--out", "move.plan").stdout
    with open(cli.path("move.plan"), encoding="utf-8") as f:
        doc = json.load(f)
    proof = dict(doc["proof"])
    doc["proof"] = {"states": "123456789", "certificate": "0"}  # the id stays: it is of the rest
    with open(cli.path("move.plan"), "w", encoding="utf-8") as f:
        json.dump(doc, f)
    said = [line for line in cli.run("apply", "move.plan", "--dry-run").stdout.splitlines() if line.startswith("Proven")]
    assert said == [line for line in honest.splitlines() if line.startswith("Proven")] != []
    assert cli.json("apply", "move.plan", "--dry-run")["plan"]["proof"] == proof
    done = cli.run("apply", "move.plan", "--yes")
    assert said[0] in done.stderr
    cli.run("rollback", "--yes")

    def unsafe(doc):
        doc["stages"][1]["changes"] += doc["stages"].pop(2)["changes"]
    done = cli.run("apply", plan_edited(cli, unsafe), "--yes", rc=4)
    assert "not safe" in done.stderr and "Proven" not in done.stderr and done.stdout == ""


def test_nothing_in_a_plan_reaches_the_terminal(cli):
    """But as it would in a table: escapes and new lines are spelled out."""
    evil = "x\x1b[2Jy\nproven \x9b31m\u2192 \u00fc"

    def edit(doc):
        doc["stages"][0]["changes"][0]["why"] = doc["attest"] = evil
        doc["warnings"] = [evil]
        doc["topology"]["name"] = evil
        doc["overrides"] = [{"rule": "hold-down", "refused": evil}]
    cli.edit(lambda doc: doc.update(hooks={"before-detach": [{"pause": "z\x9b31m"}]}))
    said = cli.run("apply", plan_edited(cli, edit), "--dry-run").stdout
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]|^proven", said, re.M)
    assert said.count("x\\x1b[2Jy\\x0aproven \\xc2\\x9b31m\u2192 \u00fc") == 5


def test_prove_learns_sites_from_the_topology(cli):
    def third(doc):
        for name in ("routers", "proof", "warnings"):
            doc.pop(name)
        doc["stages"][2]["changes"].append(
            {"router": "edge-third", "group": "g1", "kind": "gateway", "before": None, "after": {"type": "gateway"}})
        doc["groups"][0]["subnets"][0].pop("gateways")
    plan = plan_edited(cli, third)
    assert "two sites" in cli.run("prove", plan, rc=4).stdout.replace("-", " ")
    cli.run("prove", plan, drop=["FERRY_TOPOLOGY"])  # which cannot know


def test_apply_fills_in_what_a_handmade_plan_leaves_out(cli):
    def strip(doc):
        for name in ("routers", "proof", "warnings"):
            doc.pop(name)
        doc["groups"][0].pop("covers", None)
        doc["groups"][0]["subnets"][0].pop("gateways")
    doc = cli.json("apply", plan_edited(cli, strip), "--yes")
    assert doc["state"] == "committed" and cli.active() == "recovery"
    cli.run("rollback", "--yes")
    assert cli.active() == "primary"
    nameless = plan_edited(cli, lambda doc: doc["topology"].pop("sha256"))
    assert "/topology/sha256" in cli.error("apply", nameless, "--yes", rc=3)["message"]


def test_apply_shows_drift(cli):
    cli.run("plan", *MOVE, "--out", "move.plan")
    cli.move("recovery")
    before = holdings(cli)
    done = cli.run("apply", "move.plan", "--yes", rc=3)
    assert done.stdout == "" and "ROUTER" in done.stderr and "EXPECTED" in done.stderr
    doc = cli.json("apply", "move.plan", "--yes", rc=3)
    assert doc["error"]["code"] == 3
    assert {d["router"] for d in doc["drift"]} == set(ROUTERS)
    assert all({"router", "key", "expected", "found"} == set(d) for d in doc["drift"])
    assert cli.json("apply", "move.plan", "--dry-run", rc=3)["drift"] == doc["drift"]
    assert holdings(cli) == before and len(cli.json("history")["transactions"]) == 1


def test_dry_run(cli):
    done = cli.run("apply", *MOVE, "--dry-run")
    assert "nothing was written" in done.stdout and "stage 1/4 prepare" in done.stdout
    doc = cli.json("apply", *MOVE, "--dry-run")
    assert doc["dry_run"] is True and doc["plan"]["kind"] == "plan"
    assert cli.run("drill", *MOVE, "--dry-run").stdout == done.stdout
    assert cli.active() == "primary" and cli.json("history")["transactions"] == []


@pytest.mark.parametrize("argv, rule", [
    (["--probe", "192.168.1.10"], "probe-vantage"),
    (["--confirm-within", "5m", "--pause-before", "detach"], "pause"),
])
def test_a_dry_run_refuses_what_the_apply_would(cli, argv, rule):
    for how in ("--dry-run", "--yes"):
        assert cli.error("apply", *MOVE, *argv, how, rc=4)["rule"] == rule
    assert cli.json("history")["transactions"] == []


@pytest.mark.parametrize("argv", [["--mode", "disaster"], ["--mode", "disaster", "--attest", "it is dead"]])
def test_a_saved_plan_has_its_own_mode(cli, argv):
    cli.run("plan", *MOVE, "--out", "move.plan")
    for verb in ("apply", "drill"):
        assert "a PLAN has its own" in cli.error(verb, "move.plan", *argv, "--yes", rc=64)["message"]


def test_only_who_is_lost_owes(cli):
    def owe(doc):
        doc["debts"] = [{"router": "edge-third", "group": "g1", "kind": "route", "metric": 20, "before": None,
                         "after": {"type": "blackhole"}}]
    error = cli.error("apply", plan_edited(cli, owe), "--yes", rc=4)
    assert error["rule"] == "topology" and "edge-third owes" in error["message"]


def test_refusals_are_named_and_write_nothing(cli):
    for argv, rule in ([["--mode", "disaster"], "lost-site"],
                       [["--probe", "192.168.1.10"], "probe-vantage"]):
        error = cli.error("apply", *MOVE, *argv, "--yes", rc=4)
        assert error["rule"] == rule
        assert f"refused ({rule})" in cli.run("apply", *MOVE, *argv, "--yes", rc=4).stderr
    assert cli.active() == "primary" and cli.json("history")["transactions"] == []


def test_a_lost_report_does_not_say_that_nothing_was_written(cli):
    """1 would: the move has happened, and what is printed about it goes nowhere."""
    def lost(*argv):
        with open("/dev/full", "w", encoding="utf-8") as full:
            return subprocess.run([FERRY, *argv], env=cli.env, cwd=cli.directory, stdin=subprocess.DEVNULL, stdout=full,
                                  stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    for argv in (["apply", *MOVE, "--yes"], ["--json", "rollback", "--yes"]):
        done = lost(*argv)
        assert done.returncode == 0 and "cannot write the output" in done.stderr and "ferry show last" in done.stderr
        assert cli.active() == ("recovery" if argv[0] == "apply" else "primary")
    for argv in (["status"], ["--json", "history"], ["plan", *MOVE], ["plan", *MOVE, "--detailed-exitcode"]):
        assert lost(*argv).returncode == 1


# ---- Asking ----

def test_nobody_to_ask(cli):
    for argv in (["apply", *MOVE], ["drill", *MOVE], ["rollback"]):
        done = cli.run(*argv, rc=4)
        assert "refused (confirmation)" in done.stderr and "add --yes" in done.stderr and "nothing was written" in done.stderr
    assert not os.path.exists(cli.state_dir)


def test_the_question(cli):
    status, shown = cli.terminal("apply", *MOVE, answer="no")
    assert status == 1 and "not confirmed; nothing was written" in shown
    assert cli.json("history")["transactions"] == []
    status, shown = cli.terminal("apply", *MOVE, answer="yes")
    assert status == 0 and "committed and verified" in shown
    assert cli.active() == "recovery"
    status, shown = cli.terminal("rollback", answer="y")
    assert status == 0 and cli.active() == "primary"


# ---- rollback ----

def test_rollback_is_exact(cli):
    before = touched_and_home(cli)
    first = cli.json("apply", *MOVE, "--yes")["id"]
    assert holdings(cli) != before
    # It needs no topology.
    doc = json.loads(cli.run("rollback", "--yes", "--json", drop=["FERRY_TOPOLOGY"]).stdout)
    assert (doc["kind"], doc["undoes"], doc["state"]) == ("rollback", first, "committed")
    assert holdings(cli) == before
    assert cli.error("rollback", first, "--yes", rc=4)["rule"] == "already-undone"
    assert cli.error("rollback", "--yes", rc=4)["rule"] == "nothing-to-undo"


@pytest.mark.parametrize("kind", ["blackhole", "unreachable", "prohibit"])
def test_rollback_to_a_router_that_dropped_the_subnet(cli, kind):
    """The move gives the third site service that it did not have; the rollback takes it away again."""
    touched_and_home(cli)

    def drop(document):
        route = next(r for r in document["routes"] if r["prefix"] == "192.168.1.0/24")
        route.pop("nexthops")
        route["type"] = kind

    cli.sim_edit("edge-third", drop)
    before = holdings(cli)
    cli.run("apply", *MOVE, "--yes")
    assert holdings(cli) != before
    cli.run("rollback", "--yes")
    assert holdings(cli) == before
    cli.run("drill", *MOVE, "--hold", "0s", "--yes")
    assert holdings(cli) == before


def test_rollback_of_a_named_transaction(cli):
    first = cli.json("apply", *MOVE, "--yes")["id"]
    second = cli.json("apply", "--move", "db=recovery", "--yes")["id"]
    dry = cli.run("rollback", first, "--dry-run").stdout
    assert "nothing was written" in dry and "recovery → primary" in dry
    assert cli.json("rollback", first, "--yes")["undoes"] == first
    assert (cli.active(), cli.active("db")) == ("primary", "recovery")
    assert cli.json("rollback", "--yes")["undoes"] == second, "without TX: the newest that was not undone"
    assert cli.error("rollback", "19990101", "--yes", rc=64)
    assert cli.active("db") == "primary"


def test_rollback_after_drift(cli):
    cli.move("recovery")
    cli.sim_edit("edge-third", lambda d: d["routes"][0].update(metric=33))
    before = holdings(cli)
    doc = cli.json("rollback", "--yes", rc=3)
    assert [d["router"] for d in doc["drift"]] and {d["router"] for d in doc["drift"]} == {"edge-third"}
    assert holdings(cli) == before


# ---- drill, signals, recover ----

def test_drill(cli):
    before = touched_and_home(cli)
    done = cli.run("drill", *MOVE, "--hold", "200ms", "--yes")
    assert "drill passed" in done.stdout and "holding" in done.stderr and "undo of stage 1/4" in done.stderr
    assert holdings(cli) == before
    doc = cli.json("drill", *MOVE, "--yes")
    assert (doc["kind"], doc["state"], doc["applied_verified"], doc["rolled_back_verified"]) == \
        ("drill", "undone", True, True)
    assert holdings(cli) == before
    assert cli.error("rollback", doc["id"], "--yes", rc=4)["rule"] == "already-undone"


def start_drill(cli, *argv):
    process = cli.start("drill", *MOVE, "--hold", "10m", "--yes", *argv)
    until("the move", lambda: os.path.exists(cli.sim_file("edge-recovery")) and
          any(r.get("state") == "verifying" for r in cli.json("history")["transactions"]) and
          cli.active() == "recovery")
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_rolls_back(cli, number):
    before = touched_and_home(cli)
    process = start_drill(cli)
    try:
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 5 and "rolled back and verified" in out
    assert number.name in out
    assert holdings(cli) == before
    assert cli.json("show")["state"] == "undone"


def test_a_drill_that_a_signal_ends_was_verified(cli):
    process = start_drill(cli, "--json")
    try:
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    doc = json.loads(out)
    assert (process.returncode, doc["state"], doc["reason"]) == (5, "undone", "SIGTERM")
    assert (doc["applied_verified"], doc["rolled_back_verified"]) == (True, True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_what_was_ignored_stays_ignored(cli, number):
    """As nohup(1) starts a program, and a script what it runs in the background."""
    process = cli.start("drill", *MOVE, "--hold", "1s", "--yes", ignored=(number,))
    try:
        for line in process.stderr:
            if line.startswith("holding"):
                break
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0 and "drill passed" in out, err


def test_one_at_a_time(cli):
    process = start_drill(cli)
    try:
        done = cli.run("apply", "--move", "db=recovery", "--yes", rc=8)
        assert done.stdout == ""
        assert "it runs at this moment" in cli.run("status").stdout
        cli.error("rollback", "--yes", rc=8)
        cli.error("recover", rc=8)
        # What the routers hold in the middle of a drill is no ground for these to be content with.
        cli.error("apply", *MOVE, "--yes", rc=8)
        cli.error("apply", "--move", "db=recovery", "--dry-run", rc=8)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert cli.active() == "primary" and cli.active("db") == "primary"


@pytest.mark.parametrize("again", [False, True])
def test_who_has_lost_the_lock_writes_no_more(cli, again):
    """rm of the lock's file under a drill that holds: what `recover` makes of it counts."""
    before = touched_and_home(cli)
    process = start_drill(cli)
    try:
        os.unlink(os.path.join(cli.state_dir, "lock"))
        if again:
            assert "rolled back" in cli.run("recover").stdout
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert "the lock was taken away" in err and "drill passed" not in out, (out, err)
    assert process.returncode == (5 if again else 6)
    cli.run("recover")
    assert holdings(cli) == before and cli.json("show")["state"] == "undone"


def kill_in_the_middle(cli):
    process = start_drill(cli)
    process.kill()
    process.communicate(timeout=60)


def test_recover(cli):
    before = touched_and_home(cli)
    assert "Nothing to recover" in cli.run("recover").stdout
    assert cli.json("recover")["nothing_to_do"] is True
    kill_in_the_middle(cli)
    status = cli.json("status", "--detailed-exitcode", rc=2)
    assert [t["state"] for t in status["unfinished"]] == ["verifying"]
    assert "ferry recover" in cli.run("status").stdout
    for argv in (["apply", "--move", "db=recovery", "--yes"], ["apply", *MOVE, "--yes"], ["rollback", "--yes"],
                 ["apply", "--move", "db=recovery", "--dry-run"]):
        assert cli.error(*argv, rc=4)["rule"] == "unfinished"
    done = cli.json("recover")
    assert done["recovered"] is True and done["state"] in ("undone", "committed")
    if done["state"] == "undone":
        assert holdings(cli) == before
    after = holdings(cli)
    assert cli.json("recover")["nothing_to_do"] is True and holdings(cli) == after


def test_recover_says_when_a_person_is_needed(cli):
    touched_and_home(cli)
    kill_in_the_middle(cli)
    lost = cli.sim_file("edge-primary")
    os.rename(lost, lost + ".away")
    os.mkdir(lost)  # silent
    doc = cli.json("recover", rc=6)
    assert doc["recovered"] is False and doc["state"] == "stuck"
    assert any(h["router"] == "edge-primary" and h["found"] == "unknown" for h in doc["needs_hand"])
    assert cli.json("status", "--detailed-exitcode", rc=2)["needs_hand"] == doc["needs_hand"]
    assert "A person is needed" in cli.run("show").stdout
    os.rmdir(lost)
    os.rename(lost + ".away", lost)
    assert cli.json("recover")["recovered"] is True
    assert cli.json("status", "--detailed-exitcode")["unfinished"] == []


# ---- Completion ----

@pytest.mark.parametrize("line, expected", [
    ("ferry pl", ["plan"]),
    ("ferry ", None),
    ("ferry -t site.json st", ["status"]),
    ("ferry status --det", ["--detailed-exitcode"]),
    ("ferry status --co", ["--color"]),
    ("ferry --color a", ["auto", "always"]),
    ("ferry audit --since a", []),
    ("ferry plan --move a", ["app="]),
    ("ferry plan --move 192.168.2", ["192.168.2.0/24="]),
    ("ferry plan --move app=", ["app=primary", "app=recovery"]),
    ("ferry plan --move=a", ["--move=app="]),
    ("ferry plan --move=app=r", ["--move=app=recovery"]),
    ("ferry plan --mode=p", ["--mode=planned"]),
    ("ferry plan --out=", ["<files>"]),
    ("ferry plan --offline=", []),
    ("ferry --color=n", ["--color=never"]),
    ("ferry trace 192.168.1.10 --from=edge-t", ["--from=edge-third"]),
    ("ferry plan --evacuate ", ["primary", "recovery", "third"]),
    ("ferry plan --format n", ["native"]),
    ("ferry trace 192.168.1.10 --from edge-t", ["edge-third"]),
    ("ferry lab s", ["status"]),
    ("ferry prove ", ["<files>"]),
    ("ferry apply --probe", ["--probe"]),
    ("ferry plan --out ", ["<files>"]),
    ("ferry nonsense ", []),
    ("ferry show l", ["last"]),
])
def test_completion(cli, line, expected):
    got = cli.run("__complete", line).stdout.split()
    if expected is None:
        assert "plan" in got and "__complete" not in got
    else:
        assert got == expected


def test_completion_of_transactions_and_of_broken_files(cli):
    first = cli.json("apply", *MOVE, "--yes")["id"]
    assert cli.run("__complete", "ferry rollback ").stdout.split() == ["last", first]
    assert cli.run("__complete", f"ferry show {first[:5]}").stdout.split() == [first]
    assert cli.run("__complete", "ferry -t /nowhere plan --move a").stdout == ""


def test_bash_completion_file(cli):
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "controller", "ui", "ferry.bash")
    script = r"""
        source "$1"; line=$2; shift 2
        COMP_LINE=$line COMP_POINT=${#line} COMP_WORDS=("$FERRY_PROGRAM")
        _ferry; printf '%s\n' "${COMPREPLY[@]}"
    """

    def reply(line):

        done = subprocess.run(["bash", "-c", script, "bash", source, line], env=dict(cli.env, FERRY_PROGRAM=FERRY),
                              cwd=cli.directory, capture_output=True, text=True, check=False, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    assert reply("ferry pl") == ["plan"]
    assert reply("ferry plan --move ap") == ["app="]
    assert reply("ferry plan --move app=r") == ["recovery"], "bash wants what follows the ="
    assert reply("ferry plan --move=app=r") == ["recovery"] and reply("ferry plan --move=ap") == ["app="]
    assert reply("ferry plan --mode=p") == ["planned"]
    assert reply("ferry validate si") == ["site.json"] == reply("ferry status --topology=si")


def test_a_look_makes_no_journal(cli):
    os.mkdir(cli.state_dir)
    cli.run("status")
    assert cli.json("history")["transactions"] == [] and cli.json("recover")["nothing_to_do"] is True
    assert "no journal" in cli.error("show", rc=64)["message"]
    assert os.listdir(cli.state_dir) == []


def test_a_read_only_journal_is_read(cli):
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    cli.move("recovery")
    script = ('mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && '
              '"$1" history --json && "$1" status >&2 && { "$1" rollback --yes >&2; test $? = 1; }')
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, cli.state_dir, FERRY], env=cli.env, check=False,
                          capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if "mount:" in done.stderr:
        pytest.skip("no mounts here: " + done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["transactions"][0]["state"] == "committed"
    assert "away from home" in done.stderr and cli.active() == "recovery"


def test_rollback_of_an_outer_subnet(cli):
    """The inner subnet is known everywhere, also on a router that nothing was ever written to."""
    with open(cli.topology, encoding="utf-8") as f:
        doc = json.load(f)
    doc["routers"].append({"name": "edge-far", "site": "third", "driver": {"type": "sim"},
                           "interfaces": [{"name": "to-third", "addresses": ["10.255.34.2/30"]}]})
    third = next(r for r in doc["routers"] if r["name"] == "edge-third")
    third["interfaces"].append({"name": "to-far", "addresses": ["10.255.34.1/30"]})
    doc["links"].append({"endpoints": ["edge-third:to-far", "edge-far:to-third"]})
    doc["subnets"].append({"name": "outer", "prefix": "192.168.0.0/16", "home": "primary", "gateways": [
        {"router": r, "interface": "lan0", "address": "192.168.0.1/16"} for r in ("edge-primary", "edge-recovery")]})
    with open(cli.topology, "w", encoding="utf-8") as f:
        json.dump(doc, f)
    cli.move("recovery", "outer")
    assert not os.path.exists(cli.sim_file("edge-far"))  # its way leads through edge-third before and after
    cli.run("rollback", "--yes")
    assert cli.active("outer") == "primary"


@pytest.mark.parametrize("kilobytes", range(16, 132, 8))
def test_a_full_disk(cli, kilobytes):
    """Whenever the disk fills up: nothing was written (1), or an honest 6, never a word of success."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    script = ('mount -t tmpfs -o size="$0"k none "$1" || exit 77; '
              '"$2" apply --move app=recovery --yes; rc=$?; '
              '"$2" status --json | grep "\\"active\\""; exit $rc')
    os.mkdir(cli.state_dir)
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, str(kilobytes), cli.state_dir, FERRY], env=cli.env,
                          check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode == 77:
        pytest.skip("no mounts here: " + done.stderr)
    moved = '"active": "recovery"' in done.stdout
    said = "committed" in done.stdout + done.stderr
    assert (done.returncode, moved, said) in [(1, False, False), (5, False, False), (6, True, False), (6, False, False),
                                              (0, True, True)], done.stdout + done.stderr
