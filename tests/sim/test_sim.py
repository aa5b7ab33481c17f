"""The simulation: a short run without a violation, the same seed twice, and that it finds what it is there to find.

$FERRY_SIM is the built program.
"""
import os
import re
import subprocess

import pytest

SIM = os.environ["FERRY_SIM"]


def simulate(*arguments):
    """Runs it; returns (exit status, stdout, stderr)."""
    done = subprocess.run([SIM, *arguments], capture_output=True, text=True, timeout=600)
    return done.returncode, done.stdout, done.stderr


def figure(out, name):
    """The number at the end of the line that begins with `name`."""
    return int(next(line for line in out.splitlines() if line.startswith(name)).split()[-1])


def test_short_run():
    status, out, err = simulate("--seed", "1", "--moves", "400")
    print(out)
    assert status == 0, err
    assert figure(out, "violations") == 0
    assert int(re.search(r"(\d+) of them for whole service", out).group(1)) > 1000
    for ending in ("committed", "undone", "refused"):
        assert figure(out, f"ending  {ending} ") > 0
    for fault in ("reply lost", "router cut off", "router restarted", "controller killed", "controller without power",
                  "disk full", "disk error", "dead-man fired", "second controller"):
        assert figure(out, f"fault   {fault} ") > 0, fault


def test_a_seed_is_a_run():
    runs = [simulate("--seed", seed, "--moves", "40", "--per-episode", "10") for seed in ("5", "5", "6")]
    assert all(status == 0 for status, _, _ in runs), runs
    assert runs[0][1] == runs[1][1]
    assert runs[0][1] != runs[2][1]
    trace = [simulate("--seed", "5", "--moves", "10", "--verbose")[1] for _ in range(2)]
    assert len(trace[0].splitlines()) > 80
    assert trace[0] == trace[1]


@pytest.mark.parametrize("seed, shape", [("90771", "cords7-ospf"), ("112794", "cords10-bgp"), ("92229", "cords10-via"),
                                         ("103040", "ring8-two-gateways-ecmp-v6")])
def test_seeds_that_failed_once(seed, shape):
    """docs/reliability.md has what was wrong."""
    status, out, err = simulate("--seed", seed, "--shape", shape)
    assert status == 0, err
    assert figure(out, "violations") == 0


def test_fifty_shapes():
    status, out, _ = simulate("--seed", "1", "--list")
    assert status == 0
    assert len(set(out.split())) >= 50


def test_words():
    assert simulate("--seed", "1", "--shape", "nosuch")[0] == 64
    assert simulate("--nosuch")[0] == 64


def test_every_mutation_fits():
    """What tests/sim/mutate takes away is still there; that it is noticed takes an hour (docs/reliability.md)."""
    done = subprocess.run([os.path.join(os.path.dirname(os.path.abspath(__file__)), "mutate"), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
