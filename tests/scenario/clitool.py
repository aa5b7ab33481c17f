"""The command line from outside: simulated routers, a state directory of its own, terminals.  Used by test_cli*.py."""
import contextlib
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
FERRY = os.environ.get("FERRY")
THREE_SITES = os.path.join(ROOT, "tests", "golden", "three-site-sim.json")


checked = set()


def leaks(rc, argv):
    """A sanitized ferry looks for leaks, too, where it has not been run so before: that takes it as long as all
    else.
    """
    kind = (rc, *sorted(word for word in map(str, argv) if re.fullmatch("-{0,2}[a-z-]+", word)))
    if kind in checked:
        return {}
    checked.add(kind)
    return {"ASAN_OPTIONS": "detect_leaks=1"}


def until(what, test, seconds=60.0):
    end = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.02)


@contextlib.contextmanager
def open_directory(mode=0o755):
    """A directory for other users, too.  Not below pytest's own: each pytest that starts shuts those to others again."""
    with tempfile.TemporaryDirectory(prefix="ferry-open-") as name:
        os.chmod(name, mode)
        yield pathlib.Path(name)


class Cli:
    """ferry with a topology and a state directory under `directory`."""

    def __init__(self, directory, topology=THREE_SITES):
        self.directory = str(directory)
        self.topology = os.path.join(self.directory, "site.json")
        shutil.copy(topology, self.topology)
        self.state_dir = os.path.join(self.directory, "state")
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("FERRY_") and k != "NO_COLOR"}
        self.env.update(LC_ALL="C.UTF-8", TERM="xterm", FERRY_TOPOLOGY=self.topology, FERRY_STATE_DIR=self.state_dir)

    def path(self, name):
        return os.path.join(self.directory, name)

    def edit(self, change):
        """Has `change` edit the topology's document."""
        with open(self.topology, encoding="utf-8") as f:
            document = json.load(f)
        change(document)
        with open(self.topology, "w", encoding="utf-8") as f:
            json.dump(document, f)

    def start(self, *argv, env=None, ignored=(), **kwargs):
        """With these signals ignored, and no others, however the tests were started."""
        def dispose():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)

        return subprocess.Popen([FERRY, *map(str, argv)], env=dict(self.env, **(env or {})), cwd=self.directory,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                preexec_fn=dispose, **kwargs)  # pylint: disable=subprocess-popen-preexec-fn; no threads here

    def run(self, *argv, rc=0, env=None, drop=()):
        full = {k: v for k, v in {**self.env, **leaks(rc, argv), **(env or {})}.items() if k not in drop}
        done = subprocess.run([FERRY, *map(str, argv)], env=full, cwd=self.directory, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False, timeout=60)
        assert rc is None or done.returncode == rc, (f"ferry {' '.join(map(str, argv))}: exit {done.returncode}, not {rc}\n"
                                       f"{done.stdout}{done.stderr}")
        return done

    def json(self, *argv, rc=0, **kwargs):
        """Exactly one document on stdout."""
        return json.loads(self.run("--json", *argv, rc=rc, **kwargs).stdout)

    def error(self, *argv, rc, **kwargs):
        """The error document of a failing call."""
        error = self.json(*argv, rc=rc, **kwargs)["error"]
        assert set(error) == {"code", "rule", "message"} and error["code"] == rc and error["message"]
        return error

    def terminal(self, *argv, answer=None, env=None):
        """Runs on a pseudo-terminal; returns (status, what it showed).  `answer`: to the first question, or a
        list of them.
        """
        answers = [answer] if isinstance(answer, str) else list(answer or [])
        master, slave = pty.openpty()
        process = subprocess.Popen([FERRY, *map(str, argv)], env=dict(self.env, **(env or {})), cwd=self.directory,
                                   stdin=slave, stdout=slave, stderr=slave, close_fds=True)
        os.close(slave)
        shown, asked, end = b"", 0, time.monotonic() + 60
        try:
            while time.monotonic() < end:
                if select.select([master], [], [], 0.05)[0]:
                    try:
                        got = os.read(master, 65536)
                    except OSError:  # the other end is closed
                        break
                    if not got:
                        break
                    shown += got
                if answers and shown.count(b"[yes/no]") > asked:
                    asked += 1
                    os.write(master, answers.pop(0).encode() + b"\n")
            return process.wait(timeout=10), shown.decode()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            os.close(master)

    # ---- What the simulated routers hold ----

    def sim_file(self, router):
        return os.path.join(self.state_dir, "sim", router + ".json")

    def sim(self, router):
        with open(self.sim_file(router), encoding="utf-8") as f:
            return json.load(f)

    def sim_edit(self, router, change):
        document = self.sim(router)
        change(document)
        self.sim_put(router, json.dumps(document))

    def sim_put(self, router, text):
        """Whole, also for a daemon that reads it at this moment."""
        with open(self.path("put"), "w", encoding="utf-8") as f:
            f.write(text)
        os.replace(self.path("put"), self.sim_file(router))

    def active(self, subnet="app"):
        return next(s for s in self.json("status")["subnets"] if s["name"] == subnet)["active"]

    def move(self, to, subnet="app"):
        self.run("apply", "--move", f"{subnet}={to}", "--yes")


class World(Cli):
    """A topology whose routers can be lost: their files become directories, and they keep what they held.  Either at
    once: a router without a file would be one that starts.
    """

    def __init__(self, directory, change=None):
        super().__init__(directory)
        if change:
            with open(self.topology, encoding="utf-8") as f:
                document = json.load(f)
            change(document)
            with open(self.topology, "w", encoding="utf-8") as f:
                json.dump(document, f)
        self.move("recovery")  # so that every router has a file
        self.move("primary")

    def lose(self, router):
        os.makedirs(self.path("lost"), exist_ok=True)
        os.link(self.sim_file(router), self.path(router))
        os.symlink(self.path("lost"), self.path("put"))
        os.replace(self.path("put"), self.sim_file(router))

    def back(self, router):
        os.replace(self.path(router), self.sim_file(router))

    def disaster(self, *argv, rc=0, to="recovery"):
        return self.json("apply", "--mode", "disaster", "--move", f"app={to}", "--yes", *argv, rc=rc)

    def debts(self):
        return [(d["router"], d["subnet"]) for d in self.json("status")["debts"]]

    def app(self):
        return next(s for s in self.json("status")["subnets"] if s["name"] == "app")

    def best(self, router):
        """What forwards for app there, as `trace` sees it."""
        return self.json("trace", "192.168.1.10", "--from", router)
