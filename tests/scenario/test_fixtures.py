# Broken and good input files: the schema against the loader's fixtures, and `ferry validate` as a user calls it.
# SPDX-License-Identifier: MIT
"""tests/fixtures/topology/expected.json says for every broken file what the loader finds and whether a schema
can see it: "fails" (the schema refuses it too), "passes" (only the loader knows), "not JSON" (no schema gets
that far).
"""

import json
import os
import pathlib
import subprocess

import jsonschema
import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = SOURCE / "tests" / "fixtures" / "topology"
EXPECTED = json.loads((FIXTURES / "expected.json").read_text())
VALID = sorted((FIXTURES / "valid").glob("*.json"))
EXAMPLES = sorted(p for p in (SOURCE / "topologies").glob("*.json") if p.name != "schema.json")
FERRY = os.environ.get("FERRY", "")

needs_ferry = pytest.mark.skipif(not (os.path.isfile(FERRY) and os.access(FERRY, os.X_OK)), reason="FERRY names no program")


@pytest.fixture(scope="module")
def validator():
    schema = json.loads((SOURCE / "topologies" / "schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def ferry(*args, timeout=60):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FERRY_")}
    return subprocess.run([FERRY, *map(str, args)], capture_output=True, text=True, timeout=timeout, env=environment)


def test_every_fixture_is_in_the_table():
    assert sorted(row["file"] for row in EXPECTED) == sorted(p.name for p in (FIXTURES / "broken").iterdir())
    assert len(EXPECTED) >= 45
    assert VALID and EXAMPLES


@pytest.mark.parametrize("path", VALID + EXAMPLES, ids=lambda p: p.name)
def test_schema_takes_good_files(validator, path):
    validator.validate(json.loads(path.read_text()))


@pytest.mark.parametrize("row", [r for r in EXPECTED if r["schema"] != "not JSON"], ids=lambda r: r["file"])
def test_schema_sees_what_it_can(validator, row):
    document = json.loads((FIXTURES / "broken" / row["file"]).read_text())
    assert validator.is_valid(document) == (row["schema"] == "passes")


@needs_ferry
@pytest.mark.parametrize("row", EXPECTED, ids=lambda r: r["file"])
def test_validate_refuses(row):
    path = FIXTURES / "broken" / row["file"]
    first = row["findings"][0]
    where = f"{path}:{first['line']}:{first['column']}: "
    pointer = f"{first['pointer']}: " if first["pointer"] else ""
    done = ferry("-t", path, "validate")
    assert done.returncode == 65, done.stderr
    assert where + pointer + first["text"] in done.stderr
    assert done.stdout == ""


@needs_ferry
@pytest.mark.parametrize("path", VALID + EXAMPLES, ids=lambda p: p.name)
def test_validate_takes_good_files(path):
    done = ferry("-t", path, "validate")
    assert done.returncode == 0, done.stderr


@needs_ferry
def test_validate_refuses_what_is_no_file(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    unreadable = {fifo: "is a FIFO", tmp_path: "is a directory", tmp_path / "none": "No such file", "/dev/zero": "a device"}
    for path, why in unreadable.items():
        done = ferry("-t", path, "validate", timeout=20)
        assert done.returncode == 65
        assert why in done.stderr


@needs_ferry
def test_validate_survives_a_million_objects(tmp_path):
    big = tmp_path / "big.json"
    big.write_text('{"ferry": 1, "name": "big", "sites": [' + ",".join(["{}"] * 1_000_000) + '], "routers": [], "subnets": []}')
    done = ferry("-t", big, "validate", timeout=60)
    assert done.returncode == 65
    assert "/sites/0: 'name' is missing" in done.stderr
