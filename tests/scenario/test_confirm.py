"""apply --confirm-within and what follows it, at the command line: exit statuses, what is printed, status and history.

On simulated routers; what really happens on routers is in tests/netns/test_deadman.py, faults and deaths are in
tests/unit/test_deadman_crash.c.
"""
import os

import pytest

from clitool import FERRY, Cli

pytestmark = pytest.mark.skipif(not FERRY, reason="$FERRY is not set")

MOVE = ["--move", "app=recovery", "--yes"]


@pytest.fixture(name="cli")
def make_cli(tmp_path):
    return Cli(tmp_path)


def start(cli, window="5m"):
    return cli.json("apply", *MOVE, "--confirm-within", window, rc=7)


def test_an_exchange_of_subnets_is_confirmed(cli):
    """Two routers that each take up what the other lets go."""
    cli.run("apply", "--move", "db=recovery", "--yes")
    cli.run("apply", "--move", "app=recovery", "--move", "db=primary", "--yes", "--confirm-within", "5m", rc=7)
    assert cli.active() == "recovery"
    assert cli.json("confirm")["state"] == "committed"
    assert cli.active() == "recovery"


def test_it_awaits_and_is_confirmed(cli):
    done = cli.run("apply", *MOVE, "--confirm-within", "5m", rc=7)
    tx = cli.json("history")["transactions"][0]
    assert tx["state"] == "awaiting-confirm" and tx["deadline"] and not tx["ended"]
    assert f"ferry confirm {tx['id']}" in done.stdout and "before" in done.stdout
    assert cli.active() == "recovery"
    shown = cli.run("status").stdout
    assert "awaiting confirm" in shown and f"ferry confirm {tx['id']}" in shown and "recover`" not in shown
    assert cli.json("status")["unfinished"][0]["id"] == tx["id"]
    assert cli.json("recover", rc=7)["state"] == "awaiting-confirm"
    assert cli.error("apply", "--move", "db=recovery", "--yes", rc=4)["rule"] == "unfinished"
    assert cli.json("confirm", tx["id"][:-2])["state"] == "committed"
    assert cli.json("confirm", tx["id"])["state"] == "committed", "said twice: an answer was lost"
    assert cli.error("confirm", rc=4)["rule"] == "not-awaiting"
    assert cli.json("show", tx["id"])["deadline"]
    cli.run("rollback", "--yes")
    assert cli.active() == "primary"


def test_it_is_put_off(cli):
    tx = start(cli, "1m")
    assert cli.json("extend", tx["id"], "5m")["deadline"] > tx["deadline"]
    assert cli.error("extend", tx["id"], "1m", rc=4)["rule"] == "extend"
    cli.run("extend", tx["id"], "5", rc=64)
    cli.run("extend", tx["id"], rc=64)
    assert "before" in cli.run("extend", tx["id"], "6m").stdout


def test_what_is_confirmed_has_no_deadline_to_put_off(cli):
    tx = start(cli, "1m")
    cli.run("confirm", tx["id"])
    assert cli.error("extend", tx["id"], "5m", rc=4)["rule"] == "not-awaiting"
    assert cli.json("show", tx["id"])["deadline"] == tx["deadline"]


def test_an_unknown_transaction_is_usage(cli):
    verbs = [["confirm", "nosuch"], ["extend", "nosuch", "5m"], ["rollback", "nosuch", "--yes"], ["show", "nosuch"],
             *[[verb, "nosuch", "--yes"] for verb in ("resume", "retry", "skip")]]
    for argv in verbs:
        assert "there " in cli.error(*argv, rc=64)["message"], argv
    assert not os.path.exists(cli.state_dir)
    start(cli)
    for argv in verbs:
        assert 'no transaction "nosuch"' in cli.error(*argv, rc=64)["message"], argv


def test_it_is_taken_back(cli):
    tx = start(cli)
    assert cli.error("rollback", rc=4)["rule"] == "confirmation", "nobody can be asked"
    assert cli.error("rollback", "--yes", "--dry-run", rc=4)["rule"] == "dry-run"
    assert cli.json("rollback", "--yes")["state"] == "undone"
    assert cli.active() == "primary"
    assert cli.json("confirm", tx["id"], rc=5)["state"] == "undone"
    assert cli.error("rollback", "--yes", rc=4)["rule"] == "nothing-to-undo"


def test_it_expires(cli):
    tx = start(cli)
    done = cli.start("confirm", "--json")  # in time: decided on the routers, not here
    assert done.wait(timeout=60) == 0
    cli.run("rollback", "--yes")
    tx = start(cli, "5s")
    files = [cli.sim_file(r).replace(".json", ".deadman") for r in ("edge-primary", "edge-recovery", "edge-third")]
    for name in files:  # an hour passes
        with open(name, encoding="utf-8") as f:
            text = f.read()
        with open(name, "w", encoding="utf-8") as f:
            f.write(text.replace('"deadline_us": ', '"deadline_us": 1, "x-was": ', 1))
    assert cli.active() == "primary"
    done = cli.run("confirm", rc=5)
    assert "too late" in done.stdout and "reason:" in done.stdout
    assert cli.json("show", tx["id"])["state"] == "undone"
    assert cli.json("recover") == {"nothing_to_do": True}


def test_nothing_awaits(cli):
    assert cli.error("confirm", rc=4)["rule"] == "not-awaiting"
    cli.run("apply", *MOVE)
    tx = cli.json("history")["transactions"][0]["id"]
    assert cli.error("confirm", tx, rc=4)["rule"] == "not-awaiting"
    cli.run("confirm", "nosuch", rc=64)
