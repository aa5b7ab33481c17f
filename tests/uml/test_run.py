"""tests/uml/run: it hands through what a command says and how it ends, never takes for success what is none, and leaves
nothing behind.  Skipped where it cannot run.  SPDX-License-Identifier: MIT
"""
import os
import pathlib
import signal
import subprocess
import time

import pytest

RUN = pathlib.Path(__file__).parent / "run"
CAN = subprocess.run([RUN, "--can"], capture_output=True, text=True)
pytestmark = pytest.mark.skipif(CAN.returncode == 77, reason=CAN.stderr.strip())


def run(*command, options=(), env=None, before=()):
    return subprocess.run([*before, RUN, *options, *command], capture_output=True, timeout=280, stdin=subprocess.DEVNULL,
                          env={**os.environ, **(env or {})})


def kernels():
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = pathlib.Path("/proc", pid, "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"ferry_uml_test=" + str(os.getpid()).encode() in words:
            found.add(int(pid))
    return found


def test_what_a_command_gets_and_says(tmp_path):
    """Words, environment, directory, bytes in mass on both outputs, the status; a root that it cannot write to."""
    script = r"""
printf '%s\n' "$@" "$WORD" "$PWD" "$(id -u)" "$(uname -r)"
ip link add dummy7 type dummy && ip link add red type vrf table 7 && ip link add link dummy7 name dummy7.5 type vlan id 5 && echo made
mount -o remount,rw / ; touch /usr/ferry-was-here "$0" 2>&1 || echo read-only
[ -e "$MARK" ] && echo leaked
[ -t 0 ] || [ -t 1 ] || [ -t 2 ] && echo terminal
sleep 1000 & # left behind, with both outputs open
echo here >/tmp/x && cat </tmp/x -
head -c 300000 /dev/zero | tr '\0' '\n' >&2
head -c 300000 /bin/bash
exit 77
"""
    mark = tmp_path / "mark"
    mark.write_text("")
    result = run("bash", "-c", script, str(RUN), "two words", "a\nnew 'line'", "$HOME \\", env={"WORD": "pß\n", "MARK": str(mark)})
    head, bytes_ = result.stdout[:-300000], result.stdout[-300000:]
    lines = head.decode().split("\n")
    assert lines[:8] == ["two words", "a", "new 'line'", "$HOME \\", "pß", "", os.getcwd(), "0"]
    assert lines[8] != os.uname().release
    assert "made" in lines and "read-only" in lines and "here" in lines and "leaked" not in lines and "terminal" not in lines
    assert bytes_ == pathlib.Path("/bin/bash").read_bytes()[:300000]
    assert result.stderr.count(b"\n") == 300000
    assert result.returncode == 77
    assert not pathlib.Path("/usr/ferry-was-here").exists()


def test_a_kernel_that_panics_is_no_success():
    result = run("sh", "-c", "echo begun; sleep 2; echo c >/proc/sysrq-trigger; sleep 9; exit 0")
    assert result.returncode == 125
    assert result.stdout == b"begun\n"
    assert b"Kernel panic" in result.stderr and b"without the command's status" in result.stderr


def test_a_kernel_that_is_switched_off_or_does_not_boot_is_no_success():
    assert run("sh", "-c", "echo o >/proc/sysrq-trigger; sleep 99").returncode == 125
    assert run("true", options=("--memory", "8")).returncode == 125


@pytest.fixture(name="apart")
def make_apart():
    """Words that run a command where /dev/shm is nobody else's, and that one."""
    mounts = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs ferry-uml /dev/shm && echo && exec sleep 1000"]
    with subprocess.Popen(mounts, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout.readline()
            yield ["nsenter", "--mount", "--target", str(holder.pid)], pathlib.Path(f"/proc/{holder.pid}/root/dev/shm")
        finally:
            holder.kill()


def test_a_deadline_is_no_success_and_leaves_nothing(apart):
    words, shared = apart
    word = f"ferry_uml_test={os.getpid()}"
    begun = time.monotonic()
    result = run("sh", "-c", "trap '' TERM; sleep 1000; exit 0", word, options=("--deadline", "8"), before=words)
    assert result.returncode == 124 and b"no end within 8 s" in result.stderr
    assert time.monotonic() - begun < 60
    assert not kernels()
    runner = subprocess.Popen([*words, RUN, "sh", "-c", "sleep 1000", word], stdin=subprocess.DEVNULL)
    try:
        while not kernels() - {runner.pid}:
            assert runner.poll() is None
            time.sleep(0.05)
        time.sleep(1)
    finally:
        runner.send_signal(signal.SIGKILL)
        runner.wait()
    end = time.monotonic() + 20
    while kernels() and time.monotonic() < end:
        time.sleep(0.05)
    assert not kernels()
    assert not os.listdir(shared)
