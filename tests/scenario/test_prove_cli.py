# `ferry prove` as a user calls it, on good, unsafe and broken plan documents.
# SPDX-License-Identifier: MIT
"""tests/fixtures/plan/expected.tsv says for every document whether it is safe (and of how many states), which
rule refuses it and with which words, or where it is broken.
"""

import json
import os
import pathlib
import subprocess

import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = SOURCE / "tests" / "fixtures" / "plan"
ROWS = [line.split("\t") for line in (FIXTURES / "expected.tsv").read_text().splitlines() if not line.startswith("#")]
FERRY = os.environ.get("FERRY", "")

pytestmark = pytest.mark.skipif(not os.access(FERRY, os.X_OK), reason="FERRY names no program")


def ferry(*args):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FERRY_")}
    return subprocess.run([FERRY, *map(str, args)], capture_output=True, text=True, timeout=60, env=environment)


def test_every_fixture_is_in_the_table():
    assert sorted(row[0] for row in ROWS) == sorted(str(p.relative_to(FIXTURES)) for p in FIXTURES.glob("*/*"))
    assert sum(row[1] not in ("safe", "input") for row in ROWS) >= 20
    assert sum(row[1] == "input" for row in ROWS) >= 20
    assert {row[1] for row in ROWS} >= {"loop", "two-sites", "lost", "falls", "mismatch", "foreign", "unfinished"}


@pytest.mark.parametrize("file, verdict, words", ROWS, ids=lambda v: v if v.endswith(".json") else "")
def test_prove(file, verdict, words):
    path = FIXTURES / file
    done = ferry("prove", path)
    if verdict == "input":
        assert done.returncode == 65, done
        assert f"{path}:{words}" in done.stderr
        assert done.stdout == ""
    elif verdict == "safe":
        assert done.returncode == 0, done
        assert f"{words} transient state" in done.stdout
        assert "certificate" in done.stdout
    else:
        assert done.returncode == 4, done
        assert verdict in done.stdout + done.stderr
        for word in words.split("|"):
            assert word in done.stdout + done.stderr


@pytest.mark.parametrize("file, verdict, words", [r for r in ROWS if r[1] != "input"], ids=lambda v: v if v.endswith(".json") else "")
def test_prove_json(file, verdict, words):
    done = ferry("--json", "prove", FIXTURES / file)
    proof = json.loads(done.stdout)
    assert proof["safe"] == (verdict == "safe")
    assert done.returncode == (0 if verdict == "safe" else 4)
    if verdict == "safe":
        assert proof["states"] == words and proof["exhaustive"] and len(proof["certificate"]) == 64
        assert proof["violation"] is None and proof["counterexample"] is None
    else:
        assert proof["violation"] == verdict
        assert all(word in proof["counterexample"]["text"] for word in words.split("|"))


def test_no_such_file():
    done = ferry("prove", FIXTURES / "nowhere.json")
    assert done.returncode == 65
    assert "nowhere.json" in done.stderr
