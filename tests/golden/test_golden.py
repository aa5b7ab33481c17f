"""What `ferry plan` and `ferry prove` print for the contract's three sites, word for word.

Simulated routers, so that the same file gives the same bytes everywhere.  Hashes are compared in length only: they
follow from the rest.  After an intended change: FERRY_GOLDEN_UPDATE=1, then read the diff.
"""
import os
import re
import subprocess

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
FERRY = os.environ.get("FERRY")
pytestmark = pytest.mark.skipif(not FERRY, reason="FERRY names no program")

MOVE = ["plan", "--move", "app=recovery"]
CASES = {
    "move.txt": MOVE,
    "move.sh": MOVE + ["--format", "native"],
    "move.json": MOVE + ["--format", "json"],
    "undo.txt": MOVE + ["--reverse"],
    "undo.sh": MOVE + ["--reverse", "--format", "native"],
    "undo.json": MOVE + ["--reverse", "--json"],
    "both.txt": ["plan", "--move", "app=recovery", "--move", "db=recovery"],
    "offline.txt": ["plan", "--offline", "--active", "app=recovery", "--move", "app=primary"],
    "nothing.txt": ["plan", "--failback"],
}

# The same sites where every router speaks BGP.
BGP_CASES = {
    "bgp.txt": MOVE,
    "bgp.json": MOVE + ["--format", "json"],
    "bgp-undo.txt": MOVE + ["--reverse"],
}

# Woodgrove: policy-based VPNs.
WOODGROVE = ["plan", "--move", "apps=cloud"]
WOODGROVE_CASES = {
    "woodgrove.txt": WOODGROVE,
    "woodgrove.sh": WOODGROVE + ["--format", "native"],
    "woodgrove.json": WOODGROVE + ["--format", "json"],
    "woodgrove-undo.sh": WOODGROVE + ["--reverse", "--format", "native"],
}

# Gateways that bring interfaces and rules along: a bridge at home, a VLAN subinterface at the recovery site.
BRINGS = ["plan", "--offline", "--move", "app=recovery"]
BRINGS_CASES = {
    "brings.txt": BRINGS,
    "brings.sh": BRINGS + ["--format", "native"],
    "brings-undo.sh": BRINGS + ["--reverse", "--format", "native"],
}


def ferry(state_dir, *argv):
    env = dict(os.environ, LC_ALL="C.UTF-8", FERRY_COLOR="never", FERRY_STATE_DIR=str(state_dir))
    for name in ("FERRY_TOPOLOGY", "FERRY_JSON"):
        env.pop(name, None)
    return subprocess.run([FERRY, *argv], cwd=HERE, env=env, capture_output=True, text=True, check=False, timeout=60)


def without_hashes(text):
    text = re.sub(r"\b[0-9a-f]{64}\b", "<sha256>", text)
    return re.sub(r"(?m)^(Plan|# ferry plan) [0-9a-f]{12},", r"\1 <id>,", text)


def compare(name, text):
    path = os.path.join(HERE, name)
    if os.environ.get("FERRY_GOLDEN_UPDATE"):
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
    with open(path, encoding="utf-8") as f:
        assert text == f.read()


@pytest.mark.parametrize("name", CASES)
def test_plan(name, tmp_path):
    done = ferry(tmp_path, "-t", "three-site-sim.json", *CASES[name])
    assert (done.returncode, done.stderr) == (0, "")
    compare(name, without_hashes(done.stdout))
    again = ferry(tmp_path, "-t", "three-site-sim.json", *CASES[name])
    assert again.stdout == done.stdout, "the same state gives the same plan, ids included"


@pytest.mark.parametrize("name", BGP_CASES)
def test_bgp(name, tmp_path):
    done = ferry(tmp_path, "-t", "three-site-bgp-sim.json", *BGP_CASES[name])
    assert (done.returncode, done.stderr) == (0, "")
    compare(name, without_hashes(done.stdout))


@pytest.mark.parametrize("name", WOODGROVE_CASES)
def test_woodgrove(name, tmp_path):
    done = ferry(tmp_path, "-t", "../../topologies/woodgrove.json", *WOODGROVE_CASES[name])
    assert (done.returncode, done.stderr) == (0, "")
    compare(name, without_hashes(done.stdout))


@pytest.mark.parametrize("name", BRINGS_CASES)
def test_brings(name, tmp_path):
    done = ferry(tmp_path, "-t", "brings.json", *BRINGS_CASES[name])
    assert (done.returncode, done.stderr) == (0, "")
    compare(name, without_hashes(done.stdout))


def test_proof(tmp_path):
    plan = tmp_path / "move.plan"
    assert ferry(tmp_path, "-t", "three-site-sim.json", *MOVE, "--out", str(plan)).returncode == 0
    done = ferry(tmp_path, "prove", str(plan))
    assert (done.returncode, done.stderr) == (0, "")
    compare("proof.txt", without_hashes(done.stdout))


def test_native_is_for_shells(tmp_path):
    """Of routers that are not here: a shell that is given all of it does nothing."""
    for name in ("move.sh", "undo.sh", "woodgrove.sh", "woodgrove-undo.sh", "brings.sh", "brings-undo.sh"):
        done = subprocess.run(["sh", "-n", os.path.join(HERE, name)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        if name.startswith("brings"):
            continue
        done = subprocess.run(["/bin/sh", os.path.join(HERE, name)], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (64, "", "no script: each block is for the router that it names\n")
