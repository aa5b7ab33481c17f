"""What is lost while a subnet moves, and what may be.

Pings sends 1,000 echo requests a second and knows which were lost.  `moved` runs ferry; how long its barrier took,
in which a subnet may be nowhere, waits for the processor as everything does: outages are measured against that.

Used by test_*_lab.py, test_end_to_end.py and test_frr_moves.py.
"""
import json
import os
import re
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "netns"))
from labtool import until  # noqa: E402

OUTAGE_MS = 250  # beyond the barrier; how long it takes is the benchmark's business, a loop is not
CRITICAL = re.compile(r"stage \d+/\d+ (?:detach|attach) .* ([\d.]+) ms$", re.M)  # done or undone, as Ferry tells it
ANSWER = re.compile(r"^\d+ bytes from .*icmp_seq=(\d+) ttl.*\n", re.M)


def moved(lab, *argv, **kwargs):
    """As lab.json; and how long what was critical took, in milliseconds, stage by stage."""
    done = lab.ferry(*argv, "--json", **kwargs)
    return json.loads(done.stdout), [float(ms) for ms in CRITICAL.findall(done.stderr)]


class Pings:
    """1,000 echo requests a second, from a namespace to an address, until `end`."""

    def __init__(self, netns, address, path):
        self.path, self.address = str(path), address
        self.answers, self.text = set(), ""  # numbers; all that ping says
        with open(self.path, "w", encoding="utf-8") as out:
            self.process = subprocess.Popen(["ip", "netns", "exec", netns, "ping", "-n", "-i", "0.001", address],
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def last(self):
        """The number of the last request that was answered."""
        with open(self.path, encoding="utf-8") as f:
            self.text = f.read()
        number, self.answers = 0, set()
        for low in ANSWER.findall(self.text):
            number += (int(low) - number + 0x8000) % 0x10000 - 0x8000  # of 16 bits on the wire
            self.answers.add(number)
        return max(self.answers, default=0)

    def begun(self):
        until(f"answers of {self.address}", self.last, 60)

    def end(self):
        """How many were lost.  Requests of after this call are answered first, so that what is behind the last answer that
        ping has taken in can only have been under way.
        """
        try:
            enough = max(self.last() + 200, 500)  # it writes some 60 at a time
            until(f"{self.address} to answer at the end", lambda: self.last() >= enough, 60, pause=0.1)
        finally:
            self.stop()
        last = self.last()
        assert "DUP!" not in self.text and "Time to live" not in self.text, f"{self.address}: duplicates or loops"
        return last - len(self.answers)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=60)

    def outage_ms(self):
        """Most that were lost in a row: one a millisecond, and none while ping waits for the processor."""
        got = sorted(self.answers)
        return max([b - a - 1 for a, b in zip(got, got[1:])], default=0)
