"""No private key where others could read it: a real move over SSH with three keys that are known to the last
byte (a file, an RSA file, an agent), and a search for them in arguments, environments, output, files, memory
and cores.
"""
import os
import resource
import shutil
import signal
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "netns"))
import labtool  # noqa: E402
import secretlab  # noqa: E402
from clitool import open_directory  # noqa: E402
from labtool import FERRY, Lab, run, until  # noqa: E402
from secretlab import seen, seen_below, seen_in_memory  # noqa: E402

WHY_NOT = labtool.WHY_NOT or (None if secretlab.has_strace() else "there is no strace") or (
    None if secretlab.LIBRARY else "EXEC_NOTE_LIBRARY names no library")
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))



class SecretLab(Lab):
    """The first router lets the lab's key in, the second an RSA key alone, the third a key that only an agent has."""

    def __enter__(self):
        super().__enter__()
        self.run_dir = f"{labtool.RUN}/{self.name}"
        self.keys = [self.document["routers"][0]["driver"]["identity"]]
        drivers = [router["driver"] for router in self.document["routers"]]
        for i, kind in ((1, ["rsa", "-b", "2048"]), (2, ["ed25519"])):
            path = os.path.join(self.directory, f"canary-{kind[0]}")
            assert run("ssh-keygen", "-q", "-N", "", "-C", "canary", "-f", path, "-t", *kind).returncode == 0
            self.keys.append(path)
            with open(path + ".pub", encoding="ascii") as f, \
                    open(f"{self.run_dir}/{self.routers[i]}/ssh/authorized_keys", "w", encoding="ascii") as g:
                g.write(f.read())
        drivers[1]["identity"] = self.keys[1]
        del drivers[2]["identity"]
        self.save()
        self.wanted = {name: value for key in self.keys for name, value in secretlab.canaries(key).items()}
        self.notes = os.path.join(self.directory, "routers.execs")
        for router in self.routers:
            secretlab.note_execs(self, router, self.notes)
        self.agent = subprocess.Popen(["ssh-agent", "-D", "-a", os.path.join(self.directory, "agent")],
                                      stdout=subprocess.DEVNULL)
        home = os.path.join(self.directory, "home")
        os.mkdir(home)
        self.env.update(HOME=home, SSH_AUTH_SOCK=os.path.join(self.directory, "agent"), FERRY_DEBUG="1", ASAN_OPTIONS="detect_leaks=0")
        until("the agent", lambda: run("ssh-add", "-q", self.keys[2], env=self.env).returncode == 0, 60)
        return self

    def __exit__(self, *_):
        self.agent.terminate()
        self.agent.wait()
        super().__exit__()

    def holding(self, *argv, **more):
        """ferry, once every router has let it in, has been written to, and it holds."""
        process = subprocess.Popen([FERRY, "drill", "--move", "app=recovery", "--yes", "--hold", "10m", *argv], env=self.env,
                                   cwd=self.directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("holding"):
                return process
        raise AssertionError(f"exit {process.wait()}: {''.join(said)}")


@pytest.fixture(scope="module", name="lab")
def make_lab(tmp_path_factory):
    with SecretLab("three-site-iproute", tmp_path_factory.mktemp("secrets"), "s") as lab:
        yield lab


def test_the_search_finds_what_there_is(lab):
    """Else all that follows proves nothing."""
    for key in lab.keys:
        with open(key, "rb") as f:
            assert seen(f.read(), secretlab.canaries(key))
    assert seen_below([lab.directory], lab.wanted)
    line = next(value for name, value in lab.wanted.items() if ": line" in name).decode()
    seed = next(value for name, value in lab.wanted.items() if name.endswith("seed"))
    code = "import sys; held = sys.stdin.buffer.read(); print(flush=True); import time; time.sleep(600)"
    other = subprocess.Popen([sys.executable, "-c", code, line], env={"X": line}, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with secretlab.Sampler(lab.wanted) as sampler:
        other.stdin.write(seed)
        other.stdin.close()
        other.stdout.readline()
        until("the sampler", lambda: len(sampler.found) >= 2, 60)
    assert any(x.endswith("seed") for x in seen_in_memory(other.pid, lab.wanted))
    other.kill()
    other.wait()


def test_a_move_shows_no_key(lab, tmp_path):
    """Arguments and environments of all processes here and on the routers, output at its most talkative, every file."""
    said, here = [], tmp_path / "execs"

    def ferry(*argv, rc=0, before=()):
        done = run(*before, FERRY, *argv, env=lab.env)
        assert done.returncode == rc, done.stderr
        said.append(done.stdout + done.stderr)
    with secretlab.Sampler(lab.wanted) as sampler:
        ferry("apply", "--move", "app=recovery", "--yes", "--confirm-within", "10m", rc=7, before=(*secretlab.WHOLE, "-o", here))
        # The routers' undo lies there now.
        theirs = [f"/proc/{pid}/root/{where}" for pid in map(lab.pid, lab.routers)
                  for where in ("run", "var/lib", "var/tmp", "root")]
        assert sum(len(files) for where in theirs for _, _, files in os.walk(where + "/ferry/deadman")) > 9
        below = seen_below(theirs, lab.wanted)
        ferry("confirm")
        until("the sampler", lambda: sampler.looks >= 3, 60)
    for verb in (["history"], ["show", "--json"], ["audit", "--json"], ["rollback", "--yes", "--json"]):
        ferry(*verb)
    assert len(sampler.pids) > 10
    assert not sampler.found and not below
    assert not seen("".join(said), lab.wanted)
    assert not seen_below([lab.state_dir, lab.run_dir, str(tmp_path), *theirs], lab.wanted, but=lab.keys)
    assert len(secretlab.execs_of(here)) == 1, "over SSH ferry starts no process: libssh is in it"
    with open(lab.notes, "rb") as f:
        execs = f.read()
    assert execs.count(b"\nip\0") > 20 and execs.count(b"ferry-router") > 10, "nothing of the routers was seen"
    assert not seen(execs, lab.wanted)


def test_no_key_is_left_in_memory(lab):
    if secretlab.with_sanitizer(FERRY):
        pytest.skip("AddressSanitizer keeps what was freed")
    process = lab.holding()
    try:
        left = seen_in_memory(process.pid, lab.wanted)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert not left, left
    assert process.returncode == 5


def unlimited():
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def dumps_core(directory):
    """Whether a program of somebody else does, here."""
    os.makedirs(directory, exist_ok=True)
    other = subprocess.Popen(["sleep", "600"], cwd=directory, preexec_fn=unlimited)
    other.send_signal(signal.SIGSEGV)
    return os.WCOREDUMP(os.waitpid(other.pid, 0)[1])


@pytest.mark.parametrize("how", [signal.SIGSEGV, signal.SIGABRT])
def test_no_core(lab, tmp_path, how):
    if not dumps_core(tmp_path / "other"):
        pytest.skip("nothing dumps core on this machine")
    process = lab.holding(preexec_fn=unlimited)
    with open(f"/proc/{process.pid}/limits", encoding="utf-8") as f:
        assert any(line.split()[:5] == ["Max", "core", "file", "size", "0"] for line in f)
    process.send_signal(how)
    process.stdout.read()
    status = os.waitpid(process.pid, 0)[1]
    process.returncode = status
    assert not os.WCOREDUMP(status)
    assert os.WIFSIGNALED(status) or secretlab.with_sanitizer(FERRY)
    assert not [name for name in os.listdir(lab.directory) if name.startswith("core")]
    assert not seen_below([lab.state_dir, lab.run_dir], lab.wanted, but=lab.keys)
    lab.ferry("recover")
    lab.ferry("audit", "verify")


def test_nobody_else_may_look():
    """Not dumpable: /proc/PID belongs to root, whoever started it, and so ptrace(2) is root's alone."""
    with open_directory(0o777) as directory:
        shutil.copy(os.path.join(labtool.ROOT, "tests", "golden", "three-site-sim.json"), directory / "site.json")
        for program, owner in (([FERRY, "-t", directory / "site.json", "--state-dir", directory / "state", "drill", "--move",
                                 "app=recovery", "--yes", "--hold", "10m"], 0), (["sh", "-c", "echo holding; exec sleep 600"], 65534)):
            process = subprocess.Popen(list(map(str, program)), user=65534, group=65534, extra_groups=[], cwd=directory,
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                       env={"ASAN_OPTIONS": "detect_leaks=0"}, start_new_session=True)
            said = [next(line for line in process.stdout if line.startswith("holding"))]
            assert said and os.stat(f"/proc/{process.pid}/environ").st_uid == owner
            os.killpg(process.pid, signal.SIGTERM)
            process.communicate(timeout=60)


DANGEROUS = {"LD_LIBRARY_PATH": "/nowhere", "LD_AUDIT": "", "LD_BIND_NOW": "1", "BASH_ENV": "/nowhere", "ENV": "/nowhere", "IFS": "x",
             "PAGER": "less", "VTYSH_PAGER": "less", "SSH_ASKPASS": "/nowhere", "SUDO_USER": "mallory", "CDPATH": "/tmp",
             "FERRY_CANARY": "canary-canary", "LC_ALL": "de_DE.UTF-8", "TERM": "xterm", "PYTHONSTARTUP": "/nowhere"}


def test_children_get_an_environment_of_their_own(lab, tmp_path):
    """Transport local: what ferry starts knows nothing of whoever started ferry."""
    for router in lab.document["routers"]:
        router["driver"] = {"type": "iproute", "transport": "local", "netns": router["driver"]["netns"]}
    local = tmp_path / "local.json"
    lab.file, kept = str(local), lab.file
    lab.save()
    lab.file = kept
    env = dict(lab.env, **DANGEROUS, FERRY_TOPOLOGY=str(local), FERRY_STATE_DIR=str(tmp_path / "state"))
    done = run(*secretlab.WHOLE, "-o", tmp_path / "execs", FERRY, "status", env=env)
    assert done.returncode == 0, done.stderr
    itself, *started = secretlab.execs_of(tmp_path / "execs")
    assert len(started) > 6 and "canary-canary" in itself
    shells = [line for line in started if 'execve("/bin/sh", ["sh", "-c"' in line]
    assert shells and all('["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/", "LC_ALL=C"]' in line for line in shells)
    for line in started:
        environment = line[line.rindex(', ["'):].replace(" <unfinished ...>", "")
        names = {word.split("=")[0].strip('[" ') for word in environment.split(", ") if "=" in word}
        assert not names & (set(DANGEROUS) - {"LC_ALL"}), line[-400:]
        assert not {n for n in names if n.startswith(("LD_", "SSH_", "FERRY_", "SUDO_"))}, line[-400:]
