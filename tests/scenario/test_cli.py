"""Every verb and option of the command line, every exit status, seen from outside."""
import contextlib
import json
import os
import re
import shutil
import sqlite3
import subprocess

import pytest
from clitool import FERRY, ROOT, Cli

pytestmark = pytest.mark.skipif(not FERRY, reason="FERRY names no program")

VERBS = ["validate", "status", "plan", "prove", "apply", "confirm", "extend", "resume", "retry", "skip", "rollback", "recover",
         "reconcile", "drill", "trace", "history", "show", "audit", "rules", "networks", "addresses", "lab", "version", "help"]
ESCAPE = "\033["


@pytest.fixture(name="cli")
def make_cli(tmp_path):
    return Cli(tmp_path)


@pytest.fixture(name="saved")
def make_saved(cli):
    cli.run("plan", "--move", "app=recovery", "--out", "move.plan")
    return cli


# ---- Help and usage ----

def test_help_lists_what_there_is(cli):
    text = cli.run("--help").stdout
    assert text == cli.run("help").stdout == cli.run("-h").stdout
    listed = re.findall(r"(?m)^  ([a-z_]+) +[A-Z]", text.split("Global options")[0])
    assert listed == VERBS
    for word in ("Examples:", "Exit status:", "Files:", "FERRY_TOPOLOGY", "FERRY_STATE_DIR", "FERRY_JSON", "FERRY_COLOR"):
        assert word in text
    assert not re.search(r"__complete", text)
    assert "another controller works on one of the routers" in text


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(cli, verb):
    done = cli.run(verb, "--help")
    assert done.stderr == "" and done.stdout == cli.run("help", verb).stdout
    assert re.match(rf"Usage: ferry {verb} ", done.stdout)
    assert "Examples:\n" in done.stdout and f"ferry {verb}" in done.stdout.replace("-t site.json ", "")
    assert cli.json("help", verb) == cli.json(verb, "--help") == {"help": done.stdout}


def test_version(cli):
    assert re.fullmatch(r"ferry \d+\.\d+\.\d+\n", cli.run("version").stdout)
    assert cli.run("--version").stdout == cli.run("-V").stdout == cli.run("version").stdout
    assert cli.json("version")["name"] == "ferry"


@pytest.mark.parametrize("argv, words", [
    ([], "a verb is needed"),
    (["paln"], "unknown verb 'paln'; did you mean 'plan'?"),
    (["xyzzy"], "unknown verb 'xyzzy'"),
    (["extend"], "extend TX DURATION"),
    (["extend", "x", "3h"], "not between 1s and 2h"),
    (["apply", "--failback", "--confirm-within", "2s"], "not between 5s and 24h"),
    (["help", "stauts"], "did you mean 'status'?"),
    (["plan", "--mvoe", "app=third"], "unknown option --mvoe; did you mean --move?"),
    (["--tpology", "x", "status"], "unknown option --tpology; did you mean --topology?"),
    (["plan", "--move"], "--move needs a value"),
    (["-t"], "-t needs a value"),
    (["-t", "", "status"], "--topology needs a file"),
    (["status", "-q"], "unknown option '-q'"),
    (["status", "--json=yes"], "--json takes no value"),
    (["status", "--color", "pink"], "none of auto, always, never"),
    (["status", "more"], "unexpected argument 'more'"),
    (["validate", "a", "b"], "unexpected argument 'b'"),
    (["plan"], "nothing to plan"),
    (["plan", "--move", "app"], "not SUBNET=SITE"),
    (["plan", "--move", "=recovery"], "not SUBNET=SITE"),
    (["plan", "--move", "ap=recovery"], "unknown subnet 'ap'; did you mean 'app'?"),
    (["plan", "--move", "app=recvery"], "unknown site 'recvery'; did you mean 'recovery'?"),
    (["plan", "--move", "app=recovery", "--move", "192.168.1.0/24=third"], "subnet app stands twice"),
    (["plan", "--move", "app=recovery", "--failback"], "exclude each other"),
    (["plan", "--evacuate", "primary"], "--evacuate needs --to SITE"),
    (["plan", "--to", "primary"], "--to goes with --evacuate"),
    (["plan", "--evacuate", "primary", "--to", "primary"], "the same site"),
    (["plan", "--evacuate", "nowhere", "--to", "primary"], "unknown site 'nowhere'"),
    (["plan", "--failback", "--offline", "--active", "app=recovery", "--active", "192.168.1.0/24=primary"],
     "--active: subnet app stands twice"),
    (["plan", "--failback", "--active", "app=third"], "--active goes with --offline"),
    (["plan", "--failback", "--mode", "panic"], "neither planned nor disaster"),
    (["plan", "--failback", "--format", "yaml"], "none of text, native, json"),
    (["prove"], "which PLAN?"),
    (["apply", "--yes"], "what?"),
    (["apply", "x.plan", "--failback", "--yes"], "exclude each other"),
    (["apply", "--failback", "--probe", "1.2.3", "--yes"], "'1.2.3' is no address"),
    (["apply", "--failback", "--confirm-within", "5"], "'5' is no duration"),
    (["drill", "--failback", "--hold", "5 minutes"], "is no duration"),
    (["trace", "192.168.1.10"], "--from ROUTER is needed"),
    (["trace", "--from", "edge-third"], "which ADDRESS?"),
    (["trace", "here", "--from", "edge-third"], "'here' is no address"),
    (["trace", "192.168.1.10", "--from", "edge-thrid"], "did you mean 'edge-third'?"),
    (["history", "--limit", "many"], "'many' is no number"),
    (["show"], "there are no transactions"),
    (["lab"], "up, down or status?"),
    (["lab", "sideways"], "none of up, down, status"),
])
def test_usage_errors(cli, argv, words):
    done = cli.run(*argv, rc=64)
    assert done.stdout == "" and words in done.stderr
    assert words in cli.error(*argv, rc=64)["message"]
    assert not os.path.exists(cli.state_dir), "usage errors touch nothing"


def test_no_topology(cli):
    for argv in (["status"], ["plan", "--failback"], ["validate"], ["lab", "status"], ["apply", "--failback", "--yes"]):
        done = cli.run(*argv, rc=64, drop=["FERRY_TOPOLOGY"])
        assert "no topology" in done.stderr and "FERRY_TOPOLOGY" in done.stderr


def test_global_options_stand_anywhere_and_in_the_environment(cli):
    other = cli.path("other-state")
    bare = {"drop": ["FERRY_TOPOLOGY", "FERRY_STATE_DIR"]}
    for argv in (["-t", cli.topology, "--state-dir", other, "-j", "status"],
                 ["status", "-t", cli.topology, "--state-dir", other, "-j"],
                 ["--topology=" + cli.topology, "status", f"--state-dir={other}", "--json"],
                 ["-jt", cli.topology, "--state-dir", other, "status"],
                 ["--", "status", "-t", cli.topology, "--state-dir", other, "--json"]):
        assert json.loads(cli.run(*argv, **bare).stdout)["topology"] == "three-site"
    assert json.loads(cli.run("status", env={"FERRY_JSON": "1"}).stdout)
    assert cli.run("status", env={"FERRY_JSON": "0"}).stdout.startswith("SUBNET")
    assert "FERRY_JSON" in cli.run("status", rc=64, env={"FERRY_JSON": "maybe"}).stderr
    assert "FERRY_COLOR" in cli.run("status", rc=64, env={"FERRY_COLOR": "pink"}).stderr
    # What is typed wins over the environment.
    cli.run("status", "-t", cli.topology, env={"FERRY_TOPOLOGY": "/nowhere"})
    cli.run("status", "-t", "/nowhere", rc=65)
    # The state directory is really that one.
    cli.run("--state-dir", other, "apply", "--move", "app=recovery", "--yes")
    assert os.path.isdir(other) and not os.path.exists(cli.state_dir)


# ---- Colour ----

def test_colour_on_terminals_alone(cli):
    argv = ["plan", "--move", "app=recovery"]
    assert ESCAPE not in cli.run(*argv).stdout
    assert ESCAPE in cli.run(*argv, "--color", "always").stdout
    assert ESCAPE in cli.run(*argv, env={"FERRY_COLOR": "always"}).stdout
    assert ESCAPE in cli.terminal(*argv)[1]
    assert ESCAPE not in cli.terminal(*argv, "--color", "never")[1]
    assert ESCAPE not in cli.terminal(*argv, env={"NO_COLOR": "1"})[1]
    assert ESCAPE not in cli.run(*argv, "--json", "--color", "always").stdout


def test_plain_characters_without_utf8(cli):
    text = cli.run("plan", "--move", "app=recovery", env={"LC_ALL": "C"}).stdout
    assert text.isascii() and "primary -> recovery" in text


# ---- validate ----

def test_validate(cli):
    assert "valid" in cli.run("validate").stdout
    assert cli.run("validate", cli.topology, drop=["FERRY_TOPOLOGY"]).stdout
    doc = cli.json("validate")
    assert doc["valid"] and (doc["routers"], doc["links"], doc["subnets"], doc["sites"]) == (3, 3, 2, 3)
    assert not os.path.exists(cli.state_dir)


def test_validate_refuses(cli):
    with open(cli.path("bad.json"), "w", encoding="utf-8") as f:
        f.write('{"ferry": 1, "name": "x",\n "sites": [{"name": "a"}, {"name": "a"}], "bogus": 1}')
    done = cli.run("validate", "bad.json", rc=65)
    assert done.stdout == ""
    doc = cli.json("validate", "bad.json", rc=65)
    assert done.stderr.splitlines() == [
        f"bad.json:{f['line']}:{f['column']}: {f['pointer'] + ': ' if f['pointer'] else ''}{f['message']}" for f in doc["findings"]]
    assert re.search(r"(?m)^bad\.json:2:43: /bogus: ", done.stderr)
    assert re.match(r"bad\.json:1:1: 'routers' is missing", done.stderr), "in order"
    assert doc["error"]["code"] == 65 and doc["valid"] is False
    assert doc["findings"] and all(f["line"] and f["pointer"] is not None for f in doc["findings"])
    cli.run("validate", "missing.json", rc=65)
    assert "'': cannot be read" in cli.run("validate", "", rc=65).stderr
    for verb in (["status"], ["plan", "--failback"], ["trace", "1.2.3.4", "--from", "x"], ["lab", "status"]):
        cli.run("-t", "bad.json", *verb, rc=65)


# ---- plan ----

def test_plan_counts_and_hints(cli):
    text = cli.run("plan", "--move", "app=recovery").stdout
    assert "Plan: 4 to add, 1 to change, 4 to remove on 3 routers in 4 stages; outage: one barrier (detach → attach).\n" in text
    assert "apply FILE" in text.splitlines()[-1]
    assert cli.run("plan", "--move", "192.168.1.0/24=recovery").stdout == text
    assert not os.path.exists(cli.state_dir), "planning writes nothing"


def test_plan_exit_codes(cli):
    cli.run("plan", "--move", "app=recovery", "--detailed-exitcode", rc=2)
    assert "Nothing to do" in cli.run("plan", "--move", "app=primary", "--detailed-exitcode").stdout


@pytest.mark.parametrize("argv", [["plan", "--move", b"\xff=recovery"], ["validate", b"/\xff"], [b"\xff"],
                                  ["plan", "--mode", "disaster", "--move", "app=recovery", "--attest", b"f\xfcr tot"],
                                  ["rollback", "--attest", b"\xfc"], ["test-failover", "--cleanup", "--note", b"caf\xe9"]])
def test_words_that_are_no_utf8(cli, argv):
    """One JSON document all the same (RFC 8259 section 8.1)."""
    done = subprocess.run([FERRY, "-j", *argv], env=cli.env, cwd=cli.directory, capture_output=True, check=False, timeout=30)
    assert done.returncode in (64, 65), done
    error = json.loads(done.stdout.decode("utf-8"))
    assert error["error"]["code"] == done.returncode if argv[0] != "validate" else error["valid"] is False
    assert cli.json("plan", "--failback", "--detailed-exitcode")["stages"] == []
    assert "nothing to do" in cli.run("plan", "--failback", "--format", "native").stdout
    assert cli.error("plan", "--move", "app=third", rc=4)["rule"]
    error = cli.error("plan", "--move", "app=recovery", "--mode", "disaster", rc=4)
    assert error["rule"] == "lost-site" and "--mode planned" in error["message"]
    assert cli.run("plan", "--move", "app=recovery", "--mode", "planned")
    cli.run("plan", "--json", "--format", "native", "--failback", rc=64)


def test_one_has_and_several_have(cli):
    for moves, words in ((["app=third"], "app has no gateway at third"),
                         (["app=third", "db=third"], "app and 1 more have no gateway at third")):
        assert words in cli.error("plan", *[word for m in moves for word in ("--move", m)], rc=4)["message"]


@pytest.mark.parametrize("name, script", [("three-site", True), ("three-site-iproute", False), ("three-site-frr", False),
                                          ("two-machines", False), ("here", True)])
def test_native_is_a_script_only_where_it_acts_on_the_routers(tmp_path, name, script):
    base = {"two-machines": "three-site-iproute", "here": "three-site-iproute"}.get(name, name)
    with open(os.path.join(ROOT, "topologies", f"{base}.json"), encoding="utf-8") as f:
        doc = json.load(f)
    if base != name:  # namespaces here, but for one router
        for r in doc["routers"][name == "two-machines":]:
            r["driver"] = {"type": "iproute", "netns": r["name"], "transport": "local"}
    (tmp_path / "base.json").write_text(json.dumps(doc))
    cli = Cli(tmp_path, tmp_path / "base.json")
    text = cli.run("plan", "--offline", "--move", "app=recovery", "--format", "native").stdout
    assert text.startswith("#!/bin/sh -e\n") == script
    lines = [n for n in text.splitlines() if n and n[0] not in "#!"]
    assert lines and all(n.startswith("ip -n ") for n in lines) >= script
    if not script:
        ran = cli.path("ran")
        os.makedirs(cli.path("bin"))
        for tool in ("ip", "interface", "no"):
            with open(cli.path(f"bin/{tool}"), "w", encoding="utf-8") as f:
                f.write(f"#!/bin/sh\necho >{ran}\n")
            os.chmod(cli.path(f"bin/{tool}"), 0o755)
        done = subprocess.run(["/bin/sh"], input=text, env={"PATH": cli.path("bin")}, capture_output=True, text=True, check=False)
        assert (done.returncode, os.path.exists(ran)) == (64, False) and "no script" in done.stderr


def test_plan_document(cli):
    doc = cli.json("plan", "--move", "app=recovery", "--out", "move.plan")
    with open(cli.path("move.plan"), encoding="utf-8") as f:
        assert json.load(f) == doc
    assert (doc["ferry"], doc["kind"], doc["mode"]) == (1, "plan", "planned")
    assert re.fullmatch("[0-9a-f]{64}", doc["id"]) and doc["proof"]["certificate"] and doc["proof"]["states"]
    assert [s["phase"] for s in doc["stages"]] == ["prepare", "detach", "attach", "settle"]
    assert cli.run("plan", "--move", "app=recovery", "--format", "json").stdout == \
        cli.run("plan", "--move", "app=recovery", "--json").stdout
    # Whatever the format, --out is the document.
    cli.run("plan", "--move", "app=recovery", "--format", "native", "--out", "native.plan")
    with open(cli.path("native.plan"), encoding="utf-8") as f:
        assert json.load(f) == doc
    cli.run("plan", "--move", "app=recovery", "--out", "/nowhere/x", rc=1)
    os.mkdir(cli.path("links"))
    for name, to in (("a", "b"), ("b", "../linked.plan"), ("round", "round")):
        os.symlink(to, cli.path(f"links/{name}"))
    for _ in range(2):  # it leads nowhere, then to a plan
        cli.run("plan", "--move", "app=recovery", "--out", "links/a")
        with open(cli.path("linked.plan"), encoding="utf-8") as f:
            assert json.load(f) == doc
        os.truncate(cli.path("linked.plan"), 0)
    cli.run("plan", "--move", "app=recovery", "--out", "links/round", rc=1)
    assert [os.readlink(cli.path(f"links/{name}")) for name in ("a", "b", "round")] == ["b", "../linked.plan", "round"]
    shutil.rmtree(cli.path("links"))
    os.unlink(cli.path("linked.plan"))
    assert sorted(os.listdir(cli.directory)) == ["move.plan", "native.plan", "site.json"], "no temporary file is left"


def test_plan_reverse(cli):
    forward = cli.json("plan", "--move", "app=recovery")
    undo = cli.json("plan", "--move", "app=recovery", "--reverse", "--out", "undo.plan")
    swapped = [[(c["router"], c["after"], c["before"]) for c in s["changes"]] for s in reversed(forward["stages"])]
    assert [sorted(map(str, s)) for s in swapped] == \
        [sorted(str((c["router"], c["before"], c["after"])) for c in s["changes"]) for s in undo["stages"]]
    cli.run("prove", "undo.plan")


def test_plan_selections(cli):
    both = cli.json("plan", "--evacuate", "primary", "--to", "recovery")
    assert {s["name"] for g in both["groups"] for s in g["subnets"]} == {"app", "db"}
    assert cli.json("plan", "--evacuate", "recovery", "--to", "primary")["stages"] == []
    cli.move("recovery")
    back = cli.json("plan", "--failback")
    assert [(g["from"], g["to"], [s["name"] for s in g["subnets"]]) for g in back["groups"]] == \
        [("recovery", "primary", ["app"])]
    two = cli.json("plan", "--move", "app=primary", "--move", "db=recovery")
    assert {(g["from"], g["to"]) for g in two["groups"]} == {("recovery", "primary"), ("primary", "recovery")}


def test_plan_offline(cli):
    cli.move("recovery")
    assert cli.json("plan", "--offline", "--move", "app=recovery")["groups"][0]["from"] == "primary"
    doc = cli.json("plan", "--offline", "--active", "app=recovery", "--move", "app=primary")
    assert doc["groups"][0]["from"] == "recovery"
    assert cli.error("plan", "--offline", "--active", "app=nowhere", "--failback", rc=64)


def test_plan_shows_a_group_once(tmp_path):
    cli = Cli(tmp_path, os.path.join(ROOT, "topologies", "subnets-200.json"))
    with open(cli.topology, encoding="utf-8") as f:
        first = json.load(f)["subnets"][0]
    argv = ["plan", "--offline", "--evacuate", first["home"], "--to", "recovery"]
    text = cli.run(*argv).stdout
    more = [int(n) for n in re.findall(r"… and (\d+) more", text)]
    total = sum(len(g["subnets"]) for g in cli.json(*argv)["groups"])
    assert total > 100 and more and len(text.splitlines()) < 100
    counted = sum(map(int, re.search(r"Plan: (\d+) to add, (\d+) to change, (\d+) to remove", text).groups()))
    assert counted >= 4 * total
    native = [n for n in cli.run(*argv, "--format", "native").stdout.splitlines() if n and n[0] != "#"]
    assert len(native) >= counted


# ---- prove ----

def test_prove(saved):
    text = saved.run("prove", "move.plan", drop=["FERRY_TOPOLOGY"]).stdout
    assert text.startswith("Safe.") and "stage 1 prepare g1:" in text
    doc = saved.json("prove", "move.plan")
    assert doc["safe"] and doc["violation"] is None and doc["counterexample"] is None
    assert doc["exhaustive"] and doc["walked"] > 0 and doc["states"] and re.fullmatch("[0-9a-f]{64}", doc["certificate"])
    saved.run("prove", "missing.plan", rc=65)
    saved.run("prove", saved.topology, rc=65)


def merge_detach_and_attach(doc):
    at = [s["phase"] for s in doc["stages"]].index("detach")
    doc["stages"][at]["changes"] += doc["stages"].pop(at + 1)["changes"]


def edit(cli, name, change, to):
    with open(cli.path(name), encoding="utf-8") as f:
        doc = json.load(f)
    change(doc)
    with open(cli.path(to), "w", encoding="utf-8") as f:
        json.dump(doc, f)


def test_prove_shows_the_counterexample(saved):
    edit(saved, "move.plan", merge_detach_and_attach, "bad.plan")
    done = saved.run("prove", "bad.plan", rc=4)
    assert "warning: bad.plan: the id is not that of the content" in done.stderr
    assert done.stdout.startswith("Not safe: two-sites.") and "when these take effect" in done.stdout
    doc = saved.json("prove", "bad.plan", rc=4)
    assert doc["safe"] is False and doc["violation"] == "two-sites" and doc["certificate"] is None
    bad = doc["counterexample"]
    assert bad["stage"] == 2 and bad["events"] and {"router", "stage", "change"} <= set(bad["events"][0])
    assert saved.run("apply", "bad.plan", "--yes", rc=65).stdout == ""
    assert not os.path.exists(saved.state_dir)


# ---- status and trace ----

def test_status(cli):
    doc = cli.json("status", "--detailed-exitcode")
    assert [(s["name"], s["home"], s["active"], s["attached"], s["drift"]) for s in doc["subnets"]] == [
        ("app", "primary", "primary", ["edge-primary"], []), ("db", "primary", "primary", ["edge-primary"], [])]
    assert [(r["name"], r["reachable"]) for r in doc["routers"]] == [
        ("edge-primary", True), ("edge-recovery", True), ("edge-third", True)]
    assert (doc["unfinished"], doc["needs_hand"], doc["differences"]) == ([], [], False)
    assert not os.path.exists(cli.state_dir), "looking creates nothing"
    cli.move("recovery")
    assert "away from home" in cli.run("status", "--detailed-exitcode").stdout


def test_status_finds_another_path(cli):
    cli.move("recovery")
    os.unlink(cli.sim_file("edge-third"))  # it is as it was at first: through the primary
    doc = cli.json("status", "--detailed-exitcode", rc=2)
    assert [(d["router"], d["what"]) for d in doc["subnets"][0]["drift"]] == [("edge-third", "other path")]
    assert "other path" in cli.run("status").stdout
    assert doc["subnets"][1]["drift"] == []


def test_status_and_trace_find_a_loop(cli):
    cli.move("recovery")
    os.unlink(cli.sim_file("edge-recovery"))
    doc = cli.json("status", "--detailed-exitcode", rc=2)
    drift = doc["subnets"][0]["drift"]
    assert doc["subnets"][0]["active"] is None and {d["what"] for d in drift} == {"nowhere", "does not deliver"}
    assert any(d["text"].startswith("loop") for d in drift)
    trace = cli.json("trace", "192.168.1.10", "--from", "edge-third", rc=1)
    assert trace["result"] == "loop" and not trace["delivered"]
    assert [h["router"] for h in trace["hops"]] == ["edge-third", "edge-recovery", "edge-primary", "edge-recovery"]
    assert "loop: back at edge-recovery" in cli.run("trace", "192.168.1.10", "--from", "edge-third", rc=1).stdout


def test_status_finds_two_sites(cli):
    cli.move("recovery")
    os.unlink(cli.sim_file("edge-primary"))
    app = cli.json("status", "--detailed-exitcode", rc=2)["subnets"][0]
    assert app["attached"] == ["edge-primary", "edge-recovery"] and app["drift"][0]["what"] == "two sites"
    assert cli.error("plan", "--failback", rc=4)["rule"] == "two-sites"


def test_unreachable_router(cli):
    cli.move("recovery")
    os.unlink(cli.sim_file("edge-third"))
    os.mkdir(cli.sim_file("edge-third"))  # cannot be read
    doc = cli.json("status", "--detailed-exitcode", rc=2)
    assert [r["name"] for r in doc["routers"] if not r["reachable"]] == ["edge-third"]
    assert all(d["router"] != "edge-third" for s in doc["subnets"] for d in s["drift"])
    assert "unreachable: edge-third" in cli.run("status").stdout
    assert cli.error("plan", "--failback", rc=4)["rule"] == "unreachable"
    trace = cli.json("trace", "192.168.1.10", "--from", "edge-third", rc=1)
    assert trace["result"] == "unreachable"


def test_status_says_what_it_cannot_know(cli):
    cli.move("recovery")
    cli.run("rollback", "--yes")

    def hide(router):
        os.rename(cli.sim_file(router), cli.path("hidden"))
        os.mkdir(cli.sim_file(router))  # cannot be read
        rows = {line.split()[0]: line.split()[3:] for line in cli.run("status").stdout.splitlines()}
        app = cli.json("status")["subnets"][0]
        os.rmdir(cli.sim_file(router))
        os.rename(cli.path("hidden"), cli.sim_file(router))
        return app, rows["app"]

    app, row = hide("edge-primary")  # where it is attached
    assert (app["active"], app["attached"], app["unknown"]) == (None, [], ["edge-primary"])
    assert row == ["unknown", "-", "unknown"]
    app, row = hide("edge-recovery")  # where it may be attached too
    assert (app["active"], app["unknown"]) == ("primary", ["edge-recovery"]) and row[-2:] == ["partly", "unknown"]
    app, row = hide("edge-third")  # no gateway
    assert app["unknown"] == [] and row[-1] == "ok"


def test_trace(cli):
    doc = cli.json("trace", "192.168.1.10", "--from", "edge-third")
    assert doc["delivered"] and doc["result"] == "delivered" and doc["end"] == "delivered at edge-primary (lan0)"
    assert [(h["router"], h["prefix"]) for h in doc["hops"]] == [
        ("edge-third", "192.168.1.0/24"), ("edge-primary", "192.168.1.0/24")]
    cli.move("recovery")
    text = cli.run("trace", "192.168.1.10", "--from", "edge-third").stdout
    assert "delivered at edge-recovery (lan0)" in text
    assert cli.json("trace", "203.0.113.1", "--from", "edge-third", rc=1)["result"] == "no-route"

    def drop(document):
        route = next(r for r in document["routes"] if r["prefix"] == "192.168.1.0/24")
        route.update(type="blackhole")
        del route["nexthops"]
    cli.sim_edit("edge-third", drop)
    assert "blackholed at edge-third" in cli.run("trace", "192.168.1.10", "--from", "edge-third", rc=1).stdout


# ---- lab, history ----

def test_lab_refuses_what_it_cannot_build(cli):
    error = cli.error("lab", "up", cli.topology, rc=4)
    assert error["rule"] in ("no-netns", "root")
    cli.run("lab", "up", "missing.json", rc=65)


def test_a_clock_that_was_set_back(cli):
    """What ended before it began took nobody knows how long."""
    cli.move("recovery")
    with contextlib.closing(sqlite3.connect(os.path.join(cli.state_dir, "journal.db"))) as db, db:
        db.execute("UPDATE txn SET ended_us = started_us - 7200000000")
    row = cli.run("history").stdout.splitlines()[1].split()
    assert row[1:3] == ["committed", "apply"] and row[4] == "-"


@pytest.mark.parametrize("what", ["empty", "fifo", "link", "directory"])
def test_what_is_no_journal_is_refused_by_every_verb(cli, what):
    path = os.path.join(cli.state_dir, "journal.db")
    os.mkdir(cli.state_dir)
    if what == "empty":
        with open(path, "wb"):
            pass
    elif what == "fifo":
        os.mkfifo(path)
    elif what == "directory":
        os.mkdir(path)
    else:
        os.symlink("nowhere", path)
    said = "is empty: it was truncated" if what == "empty" else "is not a file"
    for argv in (["history"], ["show"], ["status"], ["recover"], ["confirm"], ["rollback", "--yes"], ["audit", "verify"],
                 ["apply", "--move", "app=recovery", "--yes"], ["apply", "--move", "app=recovery", "--dry-run"]):
        assert said in cli.error(*argv, rc=1)["message"], argv


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
@pytest.mark.parametrize("errno", ["EPERM", "EOPNOTSUPP"])
def test_a_journal_is_made_where_there_are_no_hard_links(cli, errno, tmp_path):
    done = subprocess.run(["strace", "-f", "-qq", "-o", tmp_path / "calls", "-e", "trace=link,linkat", "-e", f"inject=link,linkat:error={errno}",
                           FERRY, "apply", "--move", "app=recovery", "--yes"], env=dict(cli.env, ASAN_OPTIONS="detect_leaks=0"), cwd=cli.directory,
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "INJECTED" in (tmp_path / "calls").read_text()
    assert [name for name in os.listdir(cli.state_dir) if name.startswith("journal.db")] == ["journal.db"]
    assert cli.json("show")["state"] == "committed"


def test_history_and_show(cli):
    assert "No transactions" in cli.run("history").stdout and cli.json("history") == {"transactions": []}
    cli.move("recovery")
    cli.move("recovery", "db")
    rows = cli.json("history")["transactions"]
    assert [r["summary"] for r in rows] == ["db: primary -> recovery", "app: primary -> recovery"]
    assert len(cli.json("history", "--limit", "1")["transactions"]) == 1
    table = cli.run("history").stdout
    assert table.startswith("ID ") and all(r["id"] in table for r in rows)
    newest = cli.json("show")
    assert newest == cli.json("show", "last") == cli.json("show", rows[0]["id"])
    assert cli.json("show", rows[1]["id"])["summary"] == "app: primary -> recovery"
    assert cli.error("show", "19990101-000000-0000", rc=64)


def test_show_is_the_contracts_document(cli):
    cli.run("apply", "--evacuate", "primary", "--to", "recovery", "--yes")
    doc = cli.json("show")
    assert {"id", "plan", "state", "user", "started", "ended", "deadline", "stages", "outage", "needs_hand"} <= set(doc)
    assert doc["state"] == "committed" and doc["user"] and doc["deadline"] is None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", doc["started"])
    changes = [c for s in doc["stages"] for c in s["changes"]]
    assert changes and all(c["outcome"] == "done" for c in changes)
    assert all({"router", "group", "kind", "before", "after"} <= set(c) for c in changes)
    assert all(c["outcomes"] == {"unknown": 0, "stale": 0, "refused": 0, "done": 2} for c in changes)
    assert "(2 of 2 done)" in cli.run("show").stdout
