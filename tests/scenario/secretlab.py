"""What test_secrets.py looks for and where: canaries (real private keys, in every form in which they could show)
and watchers.
"""
import base64
import contextlib
import os
import shutil
import struct
import threading

from labtool import until


def parts_of(path):
    """The private key's bytes by name: those of an unencrypted OpenSSH key (PROTOCOL.key)."""
    with open(path, encoding="ascii") as f:
        lines = [line.strip() for line in f if not line.startswith("-")]
    blob = base64.b64decode("".join(lines))

    def string(data):
        n = struct.unpack(">I", data[:4])[0]
        return data[4:4 + n], data[4 + n:]
    rest = blob[len(b"openssh-key-v1\0"):]
    for _ in range(3):  # cipher, kdf, its options
        _, rest = string(rest)
    _, rest = string(rest[4:])  # the public key
    private, _ = string(rest)
    kind, rest = string(private[8:])
    values = []
    while len(values) < (2 if kind == b"ssh-ed25519" else 6):
        value, rest = string(rest)
        values.append(value.lstrip(b"\0"))
    secret = {"seed": values[1][:32]} if kind == b"ssh-ed25519" else dict(zip("npq", (values[2], values[4], values[5])))
    return secret, lines[:1] + [line for line in lines[1:] if len(line) > 32]


def canaries(path):
    """{name: bytes}: each of them gives the key away."""
    secret, lines = parts_of(path)
    public = open(path + ".pub", encoding="ascii").read().split()[1]
    found = {f"line {i}": line.encode() for i, line in enumerate(lines) if line[4:-4] not in public and i > 2}
    for name, value in secret.items():
        found[name] = value
        found[name + " reversed"] = value[::-1]  # as OpenSSL keeps numbers
        found[name + " hex"] = value.hex().encode()
        found[name + " HEX"] = value.hex().upper().encode()
        for shift in range(3):
            found[f"{name} base64 {shift}"] = base64.b64encode(bytes(shift) + value)[4:40]
    assert len(found) > 6 and all(len(value) >= 20 for value in found.values())
    return {f"{os.path.basename(path)}: {name}": value for name, value in found.items()}


def seen(data, wanted):
    data = data.encode(errors="surrogateescape") if isinstance(data, str) else data
    return sorted(name for name, value in wanted.items() if value in data)


def seen_below(directories, wanted, but=()):
    """Names of files, and of the files' canaries; `but`: the key files themselves."""
    found = []
    for directory in directories:
        for where, _, names in os.walk(directory):
            for name in names:
                path = os.path.join(where, name)
                if os.path.islink(path) or not os.path.isfile(path) or path in but:
                    continue
                found += seen(path, wanted)
                with contextlib.suppress(FileNotFoundError), open(path, "rb") as f:  # it may go meanwhile
                    found += [f"{path}: {x}" for x in seen(f.read(), wanted)]
    return found


def seen_in_memory(pid, wanted):
    """What a core file of it would hold, and more."""
    found, scanned = [], 0
    with open(f"/proc/{pid}/maps", encoding="utf-8") as f:
        maps = [line.split() for line in f]
    with open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for words in maps:
            if "r" not in words[1] or words[-1] in ("[vvar]", "[vsyscall]"):
                continue
            start, end = (int(x, 16) for x in words[0].split("-"))
            try:
                mem.seek(start)
                data = mem.read(end - start)
            except (OSError, ValueError, OverflowError):
                continue
            scanned += len(data)
            found += [f"{words[0]} {words[-1]}: {x}" for x in seen(data, wanted)]
    assert scanned > 1024 * 1024
    return found


class Sampler:
    """Every process's command line and environment, again and again."""

    def __init__(self, wanted):
        self.wanted, self.found, self.looks, self.pids = wanted, set(), 0, set()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def watch(self):
        while not self.stop.is_set():
            for pid in filter(str.isdigit, os.listdir("/proc")):
                for what in ("cmdline", "environ"):
                    try:
                        with open(f"/proc/{pid}/{what}", "rb") as f:
                            data = f.read()
                    except OSError:
                        continue
                    self.pids.add(pid)
                    self.found |= {f"{what} of {data[:60]!r}: {x}" for x in seen(data, self.wanted)}
            self.looks += 1
            self.stop.wait(0.3)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


WHOLE = ["strace", "-I", "2", "-f", "-qq", "--seccomp-bpf", "-e", "trace=execve,execveat", "-e", "signal=none", "-v", "-s", "1000000"]


def execs_of(path):
    """What strace wrote there: a line an execve, arguments and environment whole; not those of programs that are
    not there.
    """
    with open(path, encoding="utf-8", errors="surrogateescape") as f:
        return [line for line in f.read().splitlines() if " execve(" in line and " = -1 E" not in line[-60:]]


LIBRARY = os.environ.get("EXEC_NOTE_LIBRARY")


def note_execs(lab, router, path):
    """From now on every program of the router's SSH sessions writes down its arguments and environment there."""
    with open(lab.path(router, "ssh", "sshd_config"), "a", encoding="utf-8") as f:
        f.write(f"SetEnv LD_PRELOAD={LIBRARY} EXEC_NOTE={path}\n")

    def listened():
        with open(lab.path(router, "ssh", "log"), encoding="utf-8") as f:
            return f.read().count("Server listening")
    before = listened()
    assert before and lab.enter(router, "sh", "-c", "kill -HUP $(cat /run/sshd.pid)").returncode == 0
    until("sshd", lambda: listened() > before, 60)


def has_strace():
    return shutil.which("strace") is not None


def with_sanitizer(program):
    with open(program, "rb") as f:
        return b"__asan_init" in f.read()
