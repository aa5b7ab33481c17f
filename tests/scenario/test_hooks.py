"""Hooks and pauses from outside: programs on this machine, simulated routers."""
import json
import os
import re
import signal

import pytest
from clitool import FERRY, Cli, until

pytestmark = pytest.mark.skipif(not FERRY, reason="FERRY names no program")

MOVE = ["--move", "app=recovery"]


class HookCli(Cli):
    """With hooks whose scripts write into `log`."""

    def __init__(self, directory):
        super().__init__(directory)
        self.log = self.path("log")

    def hooks(self, **phases):
        with open(self.topology, encoding="utf-8") as f:
            document = json.load(f)
        document["hooks"] = {name.replace("_", "-"): hooks for name, hooks in phases.items()}
        with open(self.topology, "w", encoding="utf-8") as f:
            json.dump(document, f)

    def say(self, word, then="true", **more):
        """A hook that notes its word, and on the way back the word with a dash."""
        def script(text, last):
            return ["/bin/sh", "-c", f'echo "{text} $FERRY_ACTION $FERRY_PHASE" >> {self.log}; {last}']
        return {"run": script(word, then), "undo": script("-" + word, "true"), **more}

    def said(self):
        if not os.path.exists(self.log):
            return []
        with open(self.log, encoding="utf-8") as f:
            return [line.split()[0] for line in f]


@pytest.fixture(name="cli")
def make_cli(tmp_path):
    return HookCli(tmp_path)


def holdings(cli):
    return {r: json.dumps(cli.sim(r), sort_keys=True) if os.path.exists(cli.sim_file(r)) else None
            for r in ("edge-primary", "edge-recovery", "edge-third")}


def settled(cli):
    """A move there and back, so that there are files to compare with."""
    cli.move("recovery")
    cli.run("rollback", "--yes")
    if os.path.exists(cli.log):
        os.unlink(cli.log)
    return holdings(cli)


ALL = ["before-prepare", "after-prepare", "before-detach", "after-detach", "before-attach", "after-attach", "before-settle",
       "after-settle"]


def test_the_order(cli):
    cli.hooks(**{at: [cli.say(at), cli.say(at + "2")] for at in reversed(ALL)})
    plan = cli.json("plan", *MOVE, "--out", "move.plan")
    assert list(plan["hooks"]) == ALL
    assert sum("attached nowhere while it lasts" in w for w in plan["warnings"]) == 4
    doc = cli.json("apply", "move.plan", "--yes")
    there = [word for at in ALL for word in (at, at + "2")]
    assert cli.said() == there
    assert [h["at"] for h in doc["hooks"]] == [at for at in ALL for _ in "12"]
    assert all(h["state"] == "done" and h["status"] == 0 and h["tries"] == 1 for h in doc["hooks"])
    assert doc == cli.json("show")
    os.unlink(cli.log)
    assert cli.json("rollback", "--yes")["state"] == "committed"
    assert cli.said() == ["-" + word for word in reversed(there)]
    os.unlink(cli.log)
    assert cli.json("drill", *MOVE, "--yes")["state"] == "undone"
    assert cli.said() == there + ["-" + word for word in reversed(there)]


def test_what_a_hook_is_told(cli):
    cli.hooks(before_detach=[{"run": ["/bin/sh", "-c", "env; cat"]}])
    os.environ["FERRY_CANARY"] = "secret"
    doc = cli.json("apply", "--move", "app=recovery", "--move", "db=recovery", "--yes")
    output = doc["hooks"][0]["output"]
    told = dict(line.split("=", 1) for line in output.splitlines() if re.match("[A-Z_]+=", line))
    assert {k: v for k, v in told.items() if k.startswith("FERRY_")} == {
        "FERRY_TX": doc["id"], "FERRY_PHASE": "before-detach", "FERRY_ACTION": "run", "FERRY_KIND": "apply",
        "FERRY_MODE": "planned", "FERRY_FROM": "primary", "FERRY_TO": "recovery", "FERRY_SUBNETS": "app db",
        "FERRY_PREFIXES": "192.168.1.0/24 192.168.2.0/24"}
    assert "app 192.168.1.0/24 primary recovery\ndb 192.168.2.0/24 primary recovery\n" in output


@pytest.mark.parametrize("at", ALL)
def test_failure_is_undone(cli, at):
    before = settled(cli)
    cli.hooks(**{"before-prepare": [cli.say("first")], **({} if at == "before-prepare" else {at: []})})
    with open(cli.topology, encoding="utf-8") as f:
        hooks = json.load(f)["hooks"]
    hooks[at] = hooks.get(at, []) + [cli.say("bad", "echo words; echo because >&2; exit 9"), cli.say("never")]
    cli.hooks(**hooks)
    doc = cli.json("apply", *MOVE, "--yes", rc=5)
    assert doc["state"] == "undone" and f"hook {at}: " in doc["reason"] and doc["reason"].endswith("exit status 9: because")
    assert cli.said() == ["first", "bad", "-bad", "-first"]
    assert [h["state"] for h in doc["hooks"]] == ["undone", "undone", "waiting"]
    assert doc["hooks"][1]["output"] == "words\nbecause\n" and doc["hooks"][1]["status"] == 9
    assert holdings(cli) == before or not any(before.values())
    assert cli.active() == "primary"


def test_late_is_undone(cli):
    before = settled(cli)
    cli.hooks(before_detach=[cli.say("slow", "sleep 600", timeout="4s")])  # enough to say its word, and to undo it
    doc = cli.json("apply", *MOVE, "--yes", rc=5)
    assert "not done within 4 s" in doc["reason"] and cli.said() == ["slow", "-slow"]
    assert holdings(cli) == before


def test_no_program_is_undone(cli):
    cli.hooks(after_attach=[{"run": ["/no/such/program"]}])
    doc = cli.json("apply", *MOVE, "--yes", rc=5)
    assert "cannot be started: No such file" in doc["reason"]
    assert cli.active() == "primary"


def test_undo_that_fails_is_a_hand(cli):
    bad = cli.say("bad", "exit 1")
    bad["undo"] = ["/bin/sh", "-c", f"test -e {cli.path('mended')}"]
    cli.hooks(before_detach=[bad])
    doc = cli.json("apply", *MOVE, "--yes", rc=6)
    assert doc["state"] == "stuck" and doc["needs_hand"][0]["found"] == "its undo failed"
    assert cli.active() == "primary"
    cli.run("recover", rc=6)
    open(cli.path("mended"), "w", encoding="utf-8").close()
    assert cli.json("recover")["state"] == "undone"


def test_ctrl_c_stops_a_hook(cli):
    cli.hooks(before_detach=[cli.say("long", "sleep 600", timeout="10m")])
    process = cli.start("apply", *MOVE, "--yes")
    until("the hook", lambda: cli.said() == ["long"])
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 5 and "SIGINT" in out and cli.said() == ["long", "-long"]


def test_killed_in_a_hook(cli):
    before = settled(cli)
    cli.hooks(after_attach=[cli.say("long", f"echo $$ > {cli.path('pid')}; exec sleep 600", timeout="10m")])
    process = cli.start("apply", *MOVE, "--yes")
    until("the hook", lambda: os.path.exists(cli.path("pid")) and os.path.getsize(cli.path("pid")))
    process.kill()
    process.communicate(timeout=60)
    assert cli.json("show")["hooks"][0]["state"] == "running"
    assert cli.error("apply", *MOVE, "--yes", rc=4)["rule"] == "unfinished"
    doc = cli.json("recover")
    assert doc["state"] == "undone" and "while this ran: hook after-attach" in doc["reason"]
    assert cli.said() == ["long", "-long"] and holdings(cli) == before
    with open(cli.path("pid"), encoding="utf-8") as f:
        os.kill(int(f.read()), signal.SIGKILL)  # nobody waits for it any more


def test_a_plan_brings_no_program_of_its_own(cli):
    cli.hooks(before_detach=[cli.say("mine")])
    plan = cli.json("plan", *MOVE)
    for hooks in ({"before-detach": [{"run": ["/bin/sh", "-c", "evil"]}]}, {"after-attach": plan["hooks"]["before-detach"]}):
        doc = {**plan, "hooks": hooks}
        doc.pop("id")
        with open(cli.path("edited.plan"), "w", encoding="utf-8") as f:
            json.dump(doc, f)
        error = cli.error("apply", "edited.plan", "--yes", rc=4)
        assert error["rule"] == "topology" and "hooks" in error["message"]
    assert cli.said() == []


def test_native_and_text_show_hooks(cli):
    cli.hooks(before_detach=[cli.say("mine"), {"pause": "Call them"}])
    text = cli.run("plan", *MOVE).stdout
    assert "hook before-detach: /bin/sh -c" in text and "hook before-detach: pause: Call them" in text
    native = cli.run("plan", *MOVE, "--format", "native").stdout
    assert "# hook before-detach: pause: Call them" in native
    undo = cli.json("plan", *MOVE, "--reverse")
    assert list(undo["hooks"]) == ["after-attach"] and undo["hooks"]["after-attach"][1]["run"][2].startswith('echo "-mine')


# ---- Pauses ----

def test_pause_resume_and_skip(cli):
    cli.hooks(before_detach=[{"pause": "Stop the machines"}], after_attach=[{"pause": "Start them"}, cli.say("after")])
    done = cli.run("apply", *MOVE, "--yes", rc=7)
    assert "paused" in done.stdout and "Stop the machines" in done.stdout and "ferry resume" in done.stdout
    doc = cli.json("show")
    assert doc["state"] == "paused" and doc["ended"] is None and cli.active() == "primary"
    assert "Stop the machines" in cli.run("status").stdout
    assert cli.json("status")["unfinished"][0]["state"] == "paused"
    assert cli.run("status", "--detailed-exitcode", rc=2)
    for verb in (["apply", "--move", "db=recovery", "--yes"], ["apply", *MOVE, "--dry-run"], ["drill", *MOVE, "--yes"]):
        assert cli.error(*verb, rc=4)["rule"] == "unfinished"
    assert cli.error("retry", "--yes", rc=4)["rule"] == "pause"
    assert cli.error("confirm", rc=4)["rule"] == "not-awaiting"
    assert cli.error("resume", rc=4)["rule"] == "confirmation"
    assert cli.json("recover", rc=7)["state"] == "paused"
    second = cli.json("resume", doc["id"][:20], "--yes", rc=7)
    assert second["state"] == "paused" and cli.active() == "recovery"
    last = cli.json("skip", "--yes", drop=["FERRY_TOPOLOGY"])
    assert last["state"] == "committed" and [h["state"] for h in last["hooks"]] == ["done", "skipped", "done"]
    assert last["hooks"][1]["user"] == last["user"] and cli.said() == ["after"]
    assert cli.error("resume", "--yes", rc=4)["rule"] == "not-paused"
    cli.run("resume", "nonsense", "--yes", rc=64)
    assert cli.json("rollback", "--yes")["state"] == "committed"


def test_resume_without_transactions(cli):
    for verb in ("resume", "retry", "skip"):
        assert cli.error(verb, "--yes", rc=4)["rule"] == "not-paused"


def test_pause_before(cli):
    before = settled(cli)
    doc = cli.json("apply", *MOVE, "--yes", "--pause-before", "detach", "--pause-before", "settle", rc=7)
    assert doc["hooks"][0]["at"] == "before-detach" and cli.active() == "primary"
    doc = cli.json("resume", "--yes", rc=7)
    assert doc["hooks"][1]["at"] == "before-settle" and cli.active() == "recovery"
    assert cli.json("rollback", "--yes")["state"] == "undone"
    assert holdings(cli) == before
    assert "outage" in cli.error("apply", *MOVE, "--yes", "--pause-before", "attach", rc=64)["message"]
    cli.run("apply", *MOVE, "--yes", "--pause-before", "", rc=64)


def test_drift_while_paused(cli):
    settled(cli)
    cli.run("apply", *MOVE, "--yes", "--pause-before", "detach", rc=7)

    def change(document):
        next(r for r in document["routes"] if r["prefix"] == "192.168.1.0/24")["metric"] = 33
    cli.sim_edit("edge-third", change)
    held = holdings(cli)
    document = cli.json("resume", "--yes", rc=3)
    assert document["drift"][0]["router"] == "edge-third" and holdings(cli) == held
    assert cli.json("show")["state"] == "paused"


def test_failure_that_pauses(cli):
    cli.hooks(before_detach=[cli.say("move", f"test -e {cli.path('ready')}", **{"on-failure": "pause"})])
    doc = cli.json("apply", *MOVE, "--yes", rc=7)
    assert doc["state"] == "paused" and doc["hooks"][0]["state"] == "failed"
    assert "Run it again: ferry retry" in cli.run("status").stdout
    assert cli.error("resume", "--yes", rc=4)["rule"] == "pause"
    cli.run("retry", "--yes", rc=7)
    open(cli.path("ready"), "w", encoding="utf-8").close()
    doc = cli.json("retry", "--yes")
    assert doc["state"] == "committed" and doc["hooks"][0]["tries"] == 3 and cli.said() == ["move"] * 3


def test_failure_that_pauses_rolled_back(cli):
    before = settled(cli)
    cli.hooks(after_attach=[cli.say("move", "false", **{"on-failure": "pause"})])
    cli.run("apply", *MOVE, "--yes", rc=7)
    doc = cli.json("rollback", "--yes")
    assert doc["state"] == "undone" and cli.said() == ["move", "-move"] and holdings(cli) == before


def test_a_drill_is_not_left_paused(cli):
    before = settled(cli)
    cli.hooks(after_attach=[{"pause": "Look at it"}])
    doc = cli.json("drill", *MOVE, "--yes", rc=5)
    assert doc["state"] == "undone" and "nobody let it go on" in doc["reason"] and holdings(cli) == before
    status, shown = cli.terminal("drill", *MOVE, "--hold", "0s", answer=["yes", "no"])
    assert status == 5 and "Look at it" in shown
    status, shown = cli.terminal("drill", *MOVE, "--hold", "0s", answer=["yes", "yes"])
    assert status == 0 and holdings(cli) == before


def test_confirm_and_pauses_exclude_each_other(cli):
    cli.hooks(after_attach=[{"pause": "Look at it"}])
    assert cli.error("apply", *MOVE, "--yes", "--confirm-within", "1m", rc=4)["rule"] == "pause"
    assert cli.json("history")["transactions"] == []


def test_confirm_and_hooks(cli):
    cli.hooks(before_detach=[cli.say("a")], after_attach=[cli.say("b", **{"on-failure": "pause"})])
    doc = cli.json("apply", *MOVE, "--yes", "--confirm-within", "10m", rc=7)
    assert doc["state"] == "awaiting-confirm" and cli.said() == ["a", "b"]
    assert cli.json("rollback", "--yes")["state"] == "undone"
    assert cli.said() == ["a", "b", "-b", "-a"]


def test_a_terminal_is_asked(cli):
    status, shown = cli.terminal("apply", *MOVE, "--pause-before", "detach", answer=["yes", "no"])
    assert status == 7 and "Is it done, and shall it go on?" in shown
    status, shown = cli.terminal("resume", answer="no")
    assert status == 1 and cli.json("show")["state"] == "paused"
    status, shown = cli.terminal("resume", answer="yes")
    assert status == 0 and cli.json("show")["state"] == "committed"
    status, _ = cli.terminal("apply", "--move", "db=recovery", "--pause-before", "detach", answer=["yes", "yes"])
    assert status == 0 and cli.active("db") == "recovery"


def test_completion(cli):
    assert "--override-rule" in cli.run("__complete", "ferry apply --over").stdout
    assert cli.run("__complete", "ferry apply --override-rule b").stdout.split() == ["budget"]
    assert cli.run("__complete", "ferry apply --pause-before ").stdout.split() == ["prepare", "detach", "settle"]
    assert {"resume", "retry", "rules", "skip"} <= set(cli.run("__complete", "ferry ").stdout.split())
