"""ferryd under test: started with a notify socket of the test's own, asked over its control socket, killed at will."""
import json
import os
import signal
import socket
import subprocess
import threading
import time

FERRYD = os.environ.get("FERRYD")


def until(what, test, seconds=60.0):
    """Polls with a deadline; returns what `test` returned."""
    end = time.monotonic() + seconds
    while True:
        got = test()
        if got:
            return got
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.01)


class Conversation:
    """A raw client of the control socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(path)
        self.file = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else (json.dumps(data) + "\n").encode())

    def line(self):
        """The next reply, alive lines left out; None at the end."""
        while True:
            line = self.file.readline()
            reply = json.loads(line) if line else None
            if not reply or reply["type"] != "alive":
                return reply

    def ask(self, request, **more):
        self.send(dict({"ferry": 1, "request": request}, **more))
        while (reply := self.line())["type"] == "progress":
            pass
        return reply

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()


class Daemon:
    """`with Daemon(directory, state_dir, topology, "--poll", "1s") as d`: ready when entered, stopped at the end."""

    def __init__(self, directory, state_dir, topology, *options, env=None):
        self.directory, self.state_dir, self.topology = str(directory), str(state_dir), topology
        self.socket = os.path.join(self.directory, "ferryd.sock")
        self.notify_path = os.path.join(self.directory, "notify.sock")
        self.options = options
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("FERRY_")}
        self.env.update(NOTIFY_SOCKET=self.notify_path, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin", **(env or {}))
        self.log_path = os.path.join(self.directory, "ferryd.log")
        self.messages = []  # (monotonic time, text): what was notified
        self.process = None
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        if os.path.exists(self.notify_path):  # of the one before
            os.unlink(self.notify_path)
        self.notify.bind(self.notify_path)
        self.listener = threading.Thread(target=self.listen, daemon=True)
        self.listener.start()

    def listen(self):
        while data := self.notify.recv(65536):
            self.messages.append((time.monotonic(), data.decode()))

    @property
    def argv(self):
        topology = ["-t", self.topology] if self.topology else []
        return [FERRYD, *topology, "--state-dir", self.state_dir, "--socket", self.socket, *self.options]

    def start(self):
        seen = len(self.messages)
        with open(self.log_path, "ab") as log:
            env = dict(self.env, ASAN_OPTIONS="detect_leaks=1")  # it runs for months
            self.process = subprocess.Popen(self.argv, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until("READY=1", lambda: self.said("READY=1", seen) or self.process.poll() is not None)
        assert self.process.poll() is None, self.log()
        return self

    def said(self, text, since=0):
        """When something was notified that contains `text`; None: it was not."""
        return next((at for at, message in self.messages[since:] if text in message), None)

    def status(self):
        """The last STATUS=."""
        lines = [line for _, m in self.messages for line in m.splitlines() if line.startswith("STATUS=")]
        return lines[-1][len("STATUS="):] if lines else ""

    def log(self):
        with open(self.log_path, encoding="utf-8") as f:
            return f.read()

    def talk(self):
        return Conversation(self.socket)

    def ask(self, request, **more):
        with self.talk() as conversation:
            reply = conversation.ask(request, **more)
        assert reply["type"] == "result", reply
        return reply["result"]

    def read_once(self):
        """Waits until the routers were read."""
        until("the first look", lambda: self.ask("watch")["read"])
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self, rc=0):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=60) == rc, self.log()

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        try:
            if self.process and self.process.poll() is None:
                self.stop()
            if kind:
                print(self.log())
        finally:
            if self.process and self.process.poll() is None:
                self.kill()
            self.notify.shutdown(socket.SHUT_RDWR)
            self.listener.join()  # else it might hear the next one's socket, of the same number
            self.notify.close()
