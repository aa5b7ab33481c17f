"""The audit log verified by docs/audit.md alone; shares no code with Ferry.

    audit_verifier.py JOURNAL.DB [SEQ:HASH]
"""
import hashlib
import json
import sqlite3
import sys

TXN = "id, kind, undoes, user, reason, state, started_us, ended_us, deadline_us, stages_begun, plan_id, summary"
LATER = [("debt", "SELECT router, subnet, prefix, site, owes, delivered_us FROM debt WHERE txn = ? ORDER BY router, prefix"),
         ("hook", "SELECT n, place, what, added, state, started_us, ended_us, status, tries, user, output, undo_output"
                  " FROM hook WHERE txn = ? ORDER BY n"),
         ("override", "SELECT rule, user, at_us, refused FROM override WHERE txn = ? ORDER BY rule"),
         ("deadman", "SELECT guard_s FROM deadman WHERE txn = ?"),
         ("assignment", 'SELECT topology, workload, nic, own, network_before, "before", network, address FROM assignment'
                        " WHERE txn = ? ORDER BY topology, workload, nic, own")]
RESERVED = [("reservation", "SELECT topology, workload, nic, own, network, address, since_us FROM reservation"
                            " ORDER BY topology, workload, nic, own")]


def sha(*parts):
    return hashlib.sha256(b"".join(p if isinstance(p, bytes) else p.encode() for p in parts)).hexdigest()


def value(v):
    v = v if isinstance(v, (bytes, type(None))) else str(v).encode()
    return b"-\n" if v is None else b"%d:%s\n" % (len(v), v)


def record(db, seq):
    tables = [("txn", f"SELECT {TXN} FROM txn WHERE seq = ?"),
              ("stage", "SELECT stage, outcomes FROM stage WHERE txn = ? ORDER BY stage"),
              ("hand", "SELECT router, key, expected, found FROM hand WHERE txn = ? ORDER BY rowid")]
    return rows_digest(db, tables, seq)


def rows_digest(db, tables, *seq):
    """Of all rows; a table that is not there has none."""
    there = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    rows = [(name, row) for name, sql in tables if name in there for row in db.execute(sql, seq).fetchall()]
    return sha(*[part for name, row in rows for part in (name + "\n", *map(value, row))])


def verify(path, anchor=None):
    """The first thing that is wrong, or None."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    prev, known, plans, hashes, reserved = "0" * 64, {}, {}, {}, sha()
    for number, (seq, entry, digest) in enumerate(db.execute("SELECT seq, entry, hash FROM audit ORDER BY seq"), 1):
        if seq != number or sha(prev, entry) != digest or json.loads(entry)["seq"] != seq:
            return f"entry {seq}"
        said = json.loads(entry)
        if "tx" in said:
            known[said["tx"]] = said
            plans[said["tx"]] = said.get("plan_sha256", plans.get(said["tx"]))
        if said["what"] in ("reserve", "release"):  # of an older Ferry: it says no digest
            reserved = said.get("reservations_sha256")
        prev = hashes[f"{seq}:{digest}"] = digest
    rows = db.execute("SELECT seq, id, state, plan FROM txn").fetchall()
    for seq, tx, state, plan in rows:
        if tx not in known or (known[tx]["state"], known[tx]["record_sha256"], plans[tx]) != (state, record(db, seq), sha(plan)):
            return f"transaction {tx}"
        if known[tx].get("tables_sha256") not in (None, rows_digest(db, LATER, seq)):
            return f"debts, hooks or overrides of {tx}"
    if set(known) - {row[1] for row in rows}:
        return "a transaction is gone"
    if reserved not in (None, rows_digest(db, RESERVED)):
        return "reservations"
    return "the anchor" if anchor and anchor not in hashes else None


if __name__ == "__main__":
    found = verify(*sys.argv[1:])
    print(found or "whole")
    sys.exit(bool(found))
