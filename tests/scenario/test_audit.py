"""`ferry audit` from outside, and the same log verified by a program that shares no code with Ferry."""
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys

import audit_verifier
import pytest
from clitool import FERRY, ROOT, Cli, World

pytestmark = pytest.mark.skipif(not FERRY, reason="FERRY names no program")

MEMBERS = {"seq", "at", "what", "uid", "via", "pid", "hash"}


@pytest.fixture(name="cli")
def make_cli(tmp_path):
    return Cli(tmp_path)


@pytest.fixture(name="history", scope="module")
def make_history(tmp_path_factory):
    """A move that was rolled back, a drill, and one that was confirmed after an extension."""
    cli = Cli(tmp_path_factory.mktemp("history"))
    cli.move("recovery")
    cli.run("rollback", "--yes")
    cli.run("drill", "--move", "app=recovery", "--yes")
    cli.run("apply", "--move", "app=recovery", "--yes", "--confirm-within", "60s", rc=7)
    cli.run("extend", "last", "5m")
    cli.run("confirm")
    return cli


@pytest.fixture(name="moved")
def make_moved(history, cli):
    """A copy of it, to be changed."""
    shutil.copytree(history.state_dir, cli.state_dir)
    return cli


def db(cli):
    return os.path.join(cli.state_dir, "journal.db")


def meddle(cli, *statements):
    connection = sqlite3.connect(db(cli))
    for statement in ("DROP TRIGGER IF EXISTS audit_update", "DROP TRIGGER IF EXISTS audit_delete", *statements):
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_the_list(moved):
    entries = moved.json("audit")["entries"]
    assert [e["seq"] for e in entries] == list(range(1, len(entries) + 1))
    assert all(set(e) >= MEMBERS for e in entries) and len({e["hash"] for e in entries}) == len(entries)
    assert [e["at"] for e in entries] == sorted(e["at"] for e in entries)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", e["at"]) for e in entries)
    told = [(e.get("command"), e["what"], e.get("was"), e.get("state")) for e in entries if e["what"] != "persist"]
    assert told == [("apply", "log-begins", None, None), ("apply", "begin", None, "applying"),
                    ("apply", "commit", "applying", "committed"), ("rollback", "begin", None, "applying"),
                    ("rollback", "commit", "applying", "committed"), ("rollback", "rolled-back", "committed", "undone"),
                    ("drill", "begin", None, "applying"), ("drill", "hold", "applying", "verifying"),
                    ("drill", "undoing", "verifying", "undoing"), ("drill", "undone", "undoing", "undone"),
                    ("apply", "begin", None, "applying"), ("apply", "await", "applying", "awaiting-confirm"),
                    ("extend", "await", "awaiting-confirm", "awaiting-confirm"),
                    ("confirm", "commit", "awaiting-confirm", "committed")]
    deadlines = [e["deadline"] for e in entries if e["what"] == "await"]
    assert deadlines == sorted(deadlines) and deadlines[0] != deadlines[1]
    assert all(e["uid"] == os.getuid() and e["via"] == "process" for e in entries)
    text = moved.run("audit").stdout
    assert len(text.splitlines()) == len(entries) + 1 and "committed > undone" in text


def test_who(cli):
    cli.run("apply", "--move", "app=recovery", "--yes", env={"SUDO_USER": "mallory\udcff\"\n"})
    entries = cli.json("audit")["entries"]
    assert {e["sudo_user"] for e in entries} == {'mallory?"\n'}
    assert "sudo says mallory" in cli.run("audit").stdout
    cli.run("rollback", "--yes", drop=("SUDO_USER",))
    assert "sudo_user" not in cli.json("audit")["entries"][-1]


def test_filters(moved):
    entries = moved.json("audit")["entries"]
    ids = list(dict.fromkeys(e["tx"] for e in entries if "tx" in e))
    assert len(ids) == 4
    for tx in ids:
        assert moved.json("audit", "--tx", tx)["entries"] == [e for e in entries if e.get("tx") == tx]
    assert {e["tx"] for e in moved.json("audit", "--tx", "last")["entries"]} == {ids[-1]}
    middle = entries[len(entries) // 2]["at"]
    assert moved.json("audit", "--since", middle)["entries"] == [e for e in entries if e["at"] >= middle]
    assert moved.json("audit", "--since", "1h")["entries"] == entries
    assert moved.json("audit", "--since", "2020-01-01")["entries"] == entries
    assert moved.json("audit", "--since", "2100-01-01T00:00Z")["entries"] == []
    moved.error("audit", "--tx", "2", rc=64)
    moved.error("audit", "--tx", "nothing", rc=64)
    for argv in (["--since", "yesterday"], ["--since", "2026-13-01"], ["--since", "2026-02-30T10:00"], ["--since", "2026-11-28T25:00"], ["sideways"], ["verify", "verify"], ["--anchor", "1:2"], ["verify", "--anchor", "1:2"],
                 ["--anchor", "1:" + "a" * 64], ["verify", "--tx", "last"], ["head", "--since", "1h"]):
        moved.error("audit", *argv, rc=64)


def test_nothing_yet(cli):
    assert cli.json("audit") == {"entries": []}
    assert cli.json("audit", "verify")["ok"] is True
    cli.error("audit", "head", rc=1)
    assert cli.json("audit", "verify", "--anchor", "3:" + "a" * 64, rc=6)["ok"] is False
    assert not os.path.exists(cli.state_dir), "a look made it"


def test_whole(moved):
    report = moved.json("audit", "verify")
    assert report["ok"] and report["problems"] == [] and report["transactions"] == 4
    head = moved.run("audit", "head").stdout.strip()
    assert moved.json("audit", "head")["anchor"] == report["head"]["anchor"] == head
    assert moved.json("audit", "verify", "--anchor", head)["ok"]
    assert audit_verifier.verify(db(moved), head) is None
    moved.move("primary")
    assert moved.json("audit", "verify", "--anchor", head)["ok"], "the log grew, and holds what it held"
    assert audit_verifier.verify(db(moved), head) is None
    done = subprocess.run([sys.executable, audit_verifier.__file__, db(moved)], capture_output=True, text=True, check=True)
    assert done.stdout == "whole\n"


FORGE = "UPDATE audit SET entry = replace(entry, '\"what\":\"commit\"', '\"what\":\"undone\"') WHERE seq = 3"


@pytest.mark.parametrize("statements, seq, tx", [
    ([FORGE], 3, False),
    (["UPDATE audit SET hash = upper(hash) WHERE seq = 2"], 2, False),
    (["DELETE FROM audit WHERE seq = 4"], 5, False),
    (["DELETE FROM audit WHERE seq > 8"], None, None),
    (["DELETE FROM audit"], None, None),
    (["DROP TABLE audit"], None, None),
    (["UPDATE txn SET user = 'nobody' WHERE seq = 1"], 7, True),
    (["UPDATE txn SET state = 'committed' WHERE seq = 1"], 7, True),
    (["UPDATE txn SET plan = plan || ' ' WHERE seq = 3"], 12, True),
    (["INSERT INTO hand VALUES (3, 'r', 'k', 'e', 'f')"], 12, True),
])
def test_what_was_changed_is_found(moved, statements, seq, tx):
    meddle(moved, *statements)
    report = moved.json("audit", "verify", rc=6)
    first = report["problems"][0]
    assert not report["ok"] and report["n_problems"] >= 1
    if tx is not None:
        assert first["seq"] == seq and bool(first["tx"]) == tx, report
    text = moved.run("audit", "verify", rc=6).stdout
    assert "broken" in text and first["message"] in text
    if statements != ["DROP TABLE audit"]:
        assert audit_verifier.verify(db(moved)) is not None


@pytest.fixture(name="owing", scope="module")
def make_owing(tmp_path_factory):
    """A site was lost: a debt that was delivered.  Then the other one, with a hook and an overridden rule: a
    debt that is owed.
    """
    def change(document):
        document["hooks"] = {"before-detach": [{"run": ["/bin/echo", "said"]}]}
        document["hold-down"] = "10m"
    cli = World(tmp_path_factory.mktemp("owing"))
    cli.lose("edge-primary")
    cli.disaster()
    cli.back("edge-primary")
    cli.run("reconcile", "--yes")
    with open(cli.topology, encoding="utf-8") as f:
        document = json.load(f)
    change(document)
    with open(cli.topology, "w", encoding="utf-8") as f:
        json.dump(document, f)
    cli.lose("edge-recovery")
    cli.disaster("--override-rule", "hold-down", to="primary")
    return cli


@pytest.mark.parametrize("statement", [
    "UPDATE debt SET delivered_us = 1 WHERE delivered_us = 0",
    "UPDATE debt SET delivered_us = 0 WHERE txn = (SELECT min(txn) FROM debt)",
    "UPDATE debt SET site = 'third'",
    "UPDATE debt SET owes = owes || '.'",
    "DELETE FROM debt",
    "DROP TABLE debt",
    "INSERT INTO debt SELECT txn, 'edge-third', subnet, prefix, site, owes, 0 FROM debt LIMIT 1",
    "UPDATE hook SET output = 'something else'",
    "UPDATE hook SET user = 'nobody', state = 'failed'",
    "DELETE FROM hook",
    "UPDATE override SET user = 'nobody'",
    "UPDATE override SET refused = ''",
    "DELETE FROM override",
    "INSERT INTO override SELECT (SELECT min(seq) FROM txn), rule, user, at_us, refused FROM override",
])
def test_debts_hooks_and_overrides_are_held(owing, cli, statement):
    shutil.copytree(owing.state_dir, cli.state_dir)
    connection = sqlite3.connect(db(cli))
    assert all(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("debt", "hook", "override"))
    connection.close()
    assert audit_verifier.verify(db(cli)) is None
    meddle(cli, statement)
    report = cli.json("audit", "verify", rc=6)
    assert all("its debts, hooks, overrides or assignments were changed" in p["message"] and p["tx"] for p in report["problems"]), report
    assert audit_verifier.verify(db(cli)).startswith("debts, hooks or overrides of ")


def test_a_delivery_is_told(owing):
    assert owing.json("audit", "verify")["ok"]
    told = [e for e in owing.json("audit")["entries"] if e["what"] == "deliver"]
    assert [(e["text"], e["command"], e["state"]) for e in told] == [
        ("edge-primary: 192.168.1.0/24", "reconcile", "committed")]


@pytest.mark.parametrize("statement", ["UPDATE reservation SET address = '192.168.1.200' WHERE rowid = 1", "DELETE FROM reservation", "DROP TABLE reservation",
                                       "UPDATE reservation SET topology = 'elsewhere'"])
def test_reservations_are_held(tmp_path, statement):
    cli = Cli(tmp_path, os.path.join(ROOT, "topologies", "new-york-chicago.json"))
    cli.run("addresses", "--reserve", "--yes")
    cli.run("addresses", "VM3", "--release", "--yes")
    assert cli.json("audit", "verify")["ok"] and audit_verifier.verify(db(cli)) is None
    meddle(cli, statement)
    problems = cli.json("audit", "verify", rc=6)["problems"]
    assert len(problems) == 1 and "the reservations of addresses were changed" in problems[0]["message"]
    assert audit_verifier.verify(db(cli)) == "reservations"


def test_reservations_that_no_entry_speaks_of(moved):
    meddle(moved, "CREATE TABLE reservation (topology TEXT, workload TEXT, nic TEXT, own TEXT, network TEXT, address TEXT, since_us INTEGER)")
    assert moved.json("audit", "verify")["ok"], "an empty table is none"
    meddle(moved, "INSERT INTO reservation VALUES ('three-site', 'vm', 'eth0', '192.168.1.10', 'n', '192.168.1.11', 1)")
    assert "reservations" in moved.json("audit", "verify", rc=6)["problems"][0]["message"]
    assert audit_verifier.verify(db(moved)) == "reservations"


def test_an_older_log_is_still_whole(moved):
    """Entries without the later digests hold nothing more than they say."""
    connection = sqlite3.connect(db(moved))
    rows = connection.execute("SELECT seq, entry FROM audit ORDER BY seq").fetchall()
    connection.close()
    prev, statements = "0" * 64, []
    for seq, entry in rows:
        entry = re.sub(r'"tables_sha256":"[0-9a-f]{64}",', "", entry)
        prev = audit_verifier.sha(prev, entry)
        statements.append("UPDATE audit SET entry = '{}', hash = '{}' WHERE seq = {}".format(entry.replace("'", "''"), prev, seq))
    meddle(moved, *statements)
    assert moved.json("audit", "verify")["ok"] and audit_verifier.verify(db(moved)) is None
    moved.move("primary")
    assert moved.json("audit", "verify")["ok"]
    meddle(moved, "INSERT INTO override SELECT max(seq), 'budget', 'me', 1, '' FROM txn")
    assert not moved.json("audit", "verify", rc=6)["ok"]


def test_a_log_that_was_written_anew(moved):
    """Whoever can write the file can write a whole log: only the anchor tells."""
    head = moved.run("audit", "head").stdout.strip()
    connection = sqlite3.connect(db(moved))
    rows = connection.execute("SELECT seq, entry FROM audit ORDER BY seq").fetchall()
    connection.close()
    prev, statements = "0" * 64, []
    for seq, entry in rows:
        entry = entry.replace('"user":"root"', '"user":"other"').replace('"pid":', '"pid":1')
        prev = audit_verifier.sha(prev, entry)
        statements.append("UPDATE audit SET entry = '{}', hash = '{}' WHERE seq = {}".format(entry.replace("'", "''"), prev, seq))
    meddle(moved, *statements)
    assert moved.json("audit", "verify")["ok"] and audit_verifier.verify(db(moved)) is None
    assert moved.json("audit", "verify", "--anchor", head, rc=6)["problems"][0]["seq"] == len(rows)
    assert audit_verifier.verify(db(moved), head) == "the anchor"


def test_the_head_goes_to_the_log(cli):
    said = cli.run("apply", "--move", "app=recovery", "--yes", env={"FERRY_DEBUG": "1"}).stderr
    told = re.findall(r"audit head (\d+:[0-9a-f]{64})", said)
    assert len(told) >= 2 and told[-1] == cli.run("audit", "head").stdout.strip()
    hashes = [f'{e["seq"]}:{e["hash"]}' for e in cli.json("audit")["entries"]]
    assert set(told) <= set(hashes)


def test_completion(moved):
    def complete(line):
        return moved.run("__complete", line).stdout.split()
    assert complete("ferry audit ") == ["head", "verify"]
    assert complete("ferry audit --s") == ["--state-dir", "--socket", "--since"]
    assert complete("ferry audit --tx l") == ["last"]
    assert len(complete("ferry audit --tx 2")) == 4


def test_the_example_of_the_documents():
    """docs/audit.md's example entry is an entry: its chain is computed there by hand."""
    with open(os.path.join(ROOT, "docs", "audit.md"), encoding="utf-8") as f:
        text = f.read()
    entries = re.findall(r"^(\{\"seq\":.*\})$", text, re.MULTILINE)
    hashes = re.findall(r"^hash ([0-9a-f]{64})$", text, re.MULTILINE)
    assert len(entries) == len(hashes) == 2
    prev = "0" * 64
    for entry, digest in zip(entries, hashes):
        prev = audit_verifier.sha(prev, entry)
        assert prev == digest and json.loads(entry)
