"""Who is at the other end: host keys, keys of ours, full and hostile servers, and what the wrapper lets through.

Every refusal here must be clear, quick, and before anything was sent."""
import contextlib
import os
import re
import shutil
import signal
import subprocess
import time

import pytest
import remotelab
from labtool import run, until
from remotelab import HOST, RemoteLab, Tool, fingerprint, keygen, tool

pytestmark = pytest.mark.skipif(remotelab.WHY_NOT is not None, reason=str(remotelab.WHY_NOT))

# Of the whole client: 12 MiB plain, 47 under AddressSanitizer, which keeps what is freed.  A flood is gigabytes.
RSS_KB = 128 * 1024


@pytest.fixture(scope="module", name="lab")
def make_lab():
    with RemoteLab() as lab:
        lab.main = lab.sshd(wrapper=True, forced="/usr/local/sbin/ferry-router", key_types=("ed25519", "ecdsa", "rsa"))
        yield lab


@pytest.fixture(name="env")
def environment():
    return {k: v for k, v in os.environ.items() if k != "SSH_AUTH_SOCK"}


def refused(args, *texts, env=None, most_ms=8000, before=()):
    lines = tool(args, ["facts"], env=env, before=before)
    assert len(lines) == 1 and lines[0]["result"] == "io", lines
    for text in texts:
        assert text in lines[0]["text"], lines[0]["text"]
    assert lines[0]["ms"] < most_ms
    return lines[0]["text"]


def accepted(args, env=None, before=()):
    lines = tool(args, ["call", "say", "x"], env=env, before=before)
    assert lines[-1].get("out") == "x\n", lines


# What takes no time takes less than what is waited for: 5 s and more.
AT_ONCE = 4000


def attempts(server):
    return server.said().count("userauth-request")


# ---- Host keys. ----


def test_host_keys(lab, tmp_path, env):
    server = lab.main
    other = keygen(str(tmp_path / "other"))
    empty = tmp_path / "empty"
    empty.write_text("")
    before = attempts(server)
    show = "ssh-keyscan -p 22 10.99.7.2 | ssh-keygen -lf -"
    unknown = refused(server.args(known_hosts=str(empty)), "does not stand in", show, "nothing was sent", env=env)
    assert any(fingerprint(key) in unknown for key in server.host_keys)
    refused(server.args(known_hosts=str(tmp_path / "missing")), "does not stand in", show, env=env)
    refused(server.args(known_hosts=server.known_hosts("changed", keys=[other])), "CHANGED", show, "nothing was sent", env=env)
    refused(server.args(known_hosts=server.known_hosts("elsewhere", host="10.99.7.3")), "does not stand in", env=env)
    refused(server.args(known_hosts=None, host_key=fingerprint(other)), "host_key", fingerprint(other), show, env=env)
    refused(server.args(known_hosts=None, host_key=fingerprint(other)[:-3]), "host_key", env=env)
    refused(server.args(known_hosts=None, host_key="SHA256:"), "host_key", env=env)
    revoked = tmp_path / "revoked"
    with open(server.known_hosts(), encoding="utf-8") as f:
        lines = f.read()
    revoked.write_text(lines + "".join("@revoked * " + line.split(" ", 1)[1] + "\n" for line in lines.splitlines()))
    refused(server.args(known_hosts=str(revoked)), "revoked", env=env)
    assert attempts(server) == before, "something was sent before the host was known"
    # Each type alone, by file and by fingerprint, hashed names too.
    for key in server.host_keys:
        accepted(server.args(known_hosts=server.known_hosts("one", keys=[key])), env=env)
        accepted(server.args(known_hosts=None, host_key=fingerprint(key)), env=env)
    hashed = server.known_hosts("hashed")
    assert run("ssh-keygen", "-H", "-f", hashed).returncode == 0
    accepted(server.args(known_hosts=hashed), env=env)
    two = lab.sshd(port=2219, key_types=("ed25519", "rsa"))
    accepted(two.args(known_hosts=None, host_key=fingerprint(two.host_keys[1])), env=env)
    lab.stop(two)


def test_changed_after_a_good_connection(lab, env):
    server = lab.sshd(port=2220, wrapper=True, forced="/usr/local/sbin/ferry-router")
    args = server.args()
    accepted(args, env=env)
    lab.stop(server)
    impostor = lab.sshd(port=2220, wrapper=True, forced="/usr/local/sbin/ferry-router")
    refused(args, "CHANGED", env=env)
    refused(impostor.args(known_hosts=None, host_key=fingerprint(server.host_keys[0])), "not " + fingerprint(server.host_keys[0]),
            env=env)
    assert attempts(impostor) == 0
    lab.stop(impostor)


# ---- Our keys. ----


@contextlib.contextmanager
def agent(tmp_path, *keys):
    path = str(tmp_path / "agent")
    process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    try:
        until("the agent", lambda: run("ssh-add", "-l", env={**os.environ, "SSH_AUTH_SOCK": path}).returncode != 2)
        for key in keys:
            done = run("ssh-add", "-q", key, env={**os.environ, "SSH_AUTH_SOCK": path})
            assert done.returncode == 0, done.stderr
        yield path, process
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


def home(tmp_path, **files):
    """Words that run a command with a private ~/.ssh."""
    ssh = tmp_path / "ssh"
    ssh.mkdir(mode=0o700)
    for name, path in files.items():
        shutil.copy(path, ssh / name)
    return ["unshare", "-m", "sh", "-c", f'mkdir -p ~/.ssh && mount --bind {ssh} ~/.ssh && exec "$@"', "sh"]


def test_keys(lab, tmp_path, env):
    server = lab.main
    stranger = keygen(str(tmp_path / "stranger"))
    locked = str(tmp_path / "locked")
    shutil.copy(lab.key, locked)
    assert run("ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", locked).returncode == 0
    (tmp_path / "rubbish").write_text("no key\n")
    refused(server.args(identity=str(tmp_path / "missing")), "missing cannot be read", env=env)
    refused(server.args(identity=stranger), "stranger is not accepted", env=env)
    refused(server.args(identity=str(tmp_path / "rubbish")), "is no private key", env=env)
    refused(server.args(identity=locked), "needs a passphrase", "ssh-add", env=env)
    nothing = home(tmp_path)
    refused(server.args(identity=None), "there is no agent", env=env, before=nothing)
    gone = {**env, "SSH_AUTH_SOCK": str(tmp_path / "gone")}
    refused(server.args(identity=None), "no agent answers at", env=gone, before=nothing)
    refused(server.args(user="nobody"), "nobody", "not accepted", env=env)
    accepted(server.args(), env=gone)  # a dead agent is nobody's business where there is a file


def test_agent(lab, tmp_path, env):
    nothing = home(tmp_path)
    stranger = keygen(str(tmp_path / "stranger"))
    with agent(tmp_path, stranger, lab.key) as (path, process):
        with_agent = {**env, "SSH_AUTH_SOCK": path}
        accepted(lab.main.args(identity=None), env=with_agent, before=nothing)
        process.send_signal(signal.SIGSTOP)
        refused(lab.main.args(identity=None), "no agent answers at", env=with_agent, before=nothing)
        process.send_signal(signal.SIGCONT)
        assert run("ssh-add", "-q", "-D", env=with_agent).returncode == 0
        refused(lab.main.args(identity=None), "the agent's keys are not accepted, or it has none", env=with_agent, before=nothing)


def test_files_of_this_user(lab, tmp_path, env):
    """known_hosts and keys are found in ~/.ssh; its config is not read."""
    config = tmp_path / "config"
    config.write_text(f"Match exec \"touch {tmp_path}/ran\"\nHost *\n ProxyCommand touch {tmp_path}/ran\n Port 1\n")
    before = home(tmp_path, id_ed25519=lab.key, known_hosts=lab.main.known_hosts(), config=str(config))
    accepted(lab.main.args(identity=None, known_hosts=None), env=env, before=before)
    assert not (tmp_path / "ran").exists()
    refused(lab.main.args(identity=None, known_hosts=None, host="10.99.7.9"), "10.99.7.9", env=env, before=before, most_ms=20000)


def test_more_than_a_key(lab, env):
    server = lab.sshd(port=2221, config="AuthenticationMethods publickey,password")
    refused(server.args(), "wants more than a key", env=env)
    lab.stop(server)


# ---- Servers that are full, closed, silent, or none. ----


def test_crowds(lab, env):
    """More than sshd takes at once (10 unauthenticated): nobody is refused."""
    server = lab.sshd(port=2222, config="MaxStartups 6:100:6")
    lines = tool(server.args(), ["parallel", 24], env=env)
    assert [line["result"] for line in lines] == ["ok"] * 24, lines
    lab.stop(server)


def test_max_startups_reached(lab, env):
    server = lab.sshd(port=2223, config="MaxStartups 1:100:1\nLoginGraceTime 60")
    hold = ["ip", "netns", "exec", lab.client, "/usr/bin/python3", "-c",
            f"import socket, sys; s = socket.create_connection(('{HOST}', 2223)); s.recv(1); print('in', flush=True); sys.stdin.read()"]
    with subprocess.Popen(hold, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"in\n"
        waiting = Tool(server.args(), ["call", "say", "x"], env=env)
        until("it to be turned away", lambda: "drop connection" in server.said())
        holder.stdin.close()
        lines = waiting.rest()
        assert lines[0]["result"] == "ok", lines
    with subprocess.Popen(hold, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"in\n"
        text = refused(server.args(), "MaxStartups", env=env, most_ms=20000)
        assert "no SSH server" not in text
        holder.stdin.close()
    lab.stop(server)


def test_closed_and_silent(lab, env):
    refused(lab.main.args(port=9, known_hosts=None), "10.99.7.2 port 9", "refused", env=env, most_ms=AT_ONCE)
    refused(lab.main.args(host="no such host"), "no name or address", env=env, most_ms=AT_ONCE)
    refused(lab.main.args(host="-oProxyCommand=x"), "no name or address", env=env, most_ms=AT_ONCE)
    refused(lab.main.args(user="a b"), "no name of a user", env=env, most_ms=AT_ONCE)
    refused(lab.main.args(netns="ferry-no-such"), "network namespace ferry-no-such", env=env, most_ms=AT_ONCE)
    lab.cut()
    try:
        refused(lab.main.args(), "no answer", env=env, most_ms=20000)
    finally:
        lab.mend()


FAKE = r"""
import os, socket, sys, time
kind = sys.argv[1]
listener = socket.create_server(("10.99.7.2", int(sys.argv[2])))
print("up", flush=True)
while True:
    peer, _ = listener.accept()
    if os.fork():
        peer.close()
        continue
    try:
        if kind == "silent":
            time.sleep(60)
        if kind == "http":
            peer.sendall(b"HTTP/1.1 400 \x1b[2JBad Request\r\n\r\n")
            time.sleep(60)
        if kind == "drip":
            for c in b"SSH-2.0-x" * 10:
                peer.sendall(bytes([c]))
                time.sleep(1)
        while kind == "endless-banner":
            peer.sendall(b"SSH-2.0-" + b"A" * 65536)
        while kind == "endless-lines":
            peer.sendall(b"SSH me\r\n" * 8192)
        peer.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
        while kind == "endless-packets":
            peer.sendall(b"\0\0\0\x0c\x0a\x02" + b"\0" * 10)
        if kind == "huge-packet":
            peer.sendall(b"\xff\xff\xff\xff" + b"\x14" * 100000)
        if kind == "zeros":
            peer.sendall(b"\0" * 1000000)
        time.sleep(60)
    except OSError:
        pass
    os._exit(0)
"""


FAKES = ["silent", "http", "drip", "endless-banner", "endless-lines", "endless-packets", "huge-packet", "zeros"]


def test_fake_servers(lab, env):
    fakes, tools = [], {}
    try:
        for i, kind in enumerate(FAKES):  # all at once: most take the whole time that there is
            fakes.append(subprocess.Popen(["ip", "netns", "exec", lab.server, "/usr/bin/python3", "-c", FAKE, kind, str(2230 + i)],
                                          stdout=subprocess.PIPE))
            assert fakes[i].stdout.readline() == b"up\n"
            tools[kind] = Tool(lab.main.args(port=2230 + i), ["facts"], env=env)
        for kind, running in tools.items():
            lines = running.rest()
            assert len(lines) == 2 and lines[0]["result"] == "io" and lines[1]["leaked_fds"] == 0, (kind, lines)
            assert lines[0]["ms"] < 20000 and lines[0]["rss_kb"] < RSS_KB, (kind, lines)
            assert re.fullmatch(r"[ -~]*", lines[0]["text"]), (kind, lines)
            if kind == "http":
                assert "this is no SSH server: it says 'HTTP/1.1 400 ?[2JBad Request" in lines[0]["text"]
    finally:
        for fake in fakes:
            for pid in remotelab.children(fake.pid) + [fake.pid]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            fake.communicate()


EVIL = {
    "gigabyte": "exec head -c 1000000000 /dev/zero",
    "stderr": "exec cat /dev/zero >&2",
    "prompts": "exec yes 'router# '",
    "nothing": "exit 0",
    "escapes": r"printf '\033[2J\033]0;owned\a'; exit 3",
    "marks": r"set -- $SSH_ORIGINAL_COMMAND; n=${2#@}; printf 'ferry-begin %s\n\nferry-end %s 0\n' $n $n; exec sleep 60",
    "status": r"set -- $SSH_ORIGINAL_COMMAND; n=${2#@}; printf 'ferry-begin %s\n\nferry-end %s 0\n' $n $n; exit 4",
    "wrong-nonce": r"printf 'ferry-begin 0123\n\nferry-end 0123 0\n'",
    "killed": r"set -- $SSH_ORIGINAL_COMMAND; n=${2#@}; printf 'ferry-begin %s\n\nferry-end %s 0\n' $n $n; kill -9 $$",
    "hang": "exec sleep 60",
    "facts": r"set -- $SSH_ORIGINAL_COMMAND; n=${2#@}; printf 'ferry-begin %s\nboot %s\nrouter\nrouter %s\nferry-end %s 0\n' "
             "$n $(head -c 5000 /dev/zero | tr '\\0' x) $(head -c 5000 /dev/zero | tr '\\0' x) $n",
}


@pytest.fixture(scope="module", name="evil")
def make_evil(lab):
    path = os.path.join(lab.dir, "evil")
    server = lab.sshd(port=2240, forced=path)
    yield server, path
    lab.stop(server)


@pytest.mark.parametrize("kind", EVIL)
def test_evil_routers(evil, env, kind):
    server, path = evil
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"#!/bin/sh\n{EVIL[kind]}\n")
    os.chmod(path, 0o755)
    lines = tool(server.args(), ["facts"], env=env, timeout=90)
    assert len(lines) == 1 and lines[0]["result"] == "io", lines
    assert lines[0]["ms"] < 20000 and lines[0]["rss_kb"] < RSS_KB, lines
    assert re.fullmatch(r"[ -~]*", lines[0]["text"]), lines


def test_another_version(lab, env):
    server = lab.sshd(port=2224, wrapper=True, forced="/usr/local/sbin/ferry-router")
    path = os.path.join(server.sbin, "ferry-router")
    with open(path, encoding="utf-8") as f:
        text = re.sub(r"^FERRY_ROUTER=.*$", "FERRY_ROUTER=0123456789abcdef", f.read(), flags=re.M)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    refused(server.args(), "of another version", "docs/router-setup.md", env=env)
    server.authorize(lab.key)  # in the PATH alone: passed over
    accepted(server.args(), env=env)
    lab.stop(server)


# ---- Through a jump host. ----


def test_jump(lab, tmp_path, env):
    behind = lab.sshd(port=2225, wrapper=True, forced="/usr/local/sbin/ferry-router")
    jump = lab.sshd(port=2226)
    both = tmp_path / "both"

    def know(*servers):
        text = ""
        for server in servers:
            with open(server.known_hosts(), encoding="utf-8") as f:
                text += f.read()
        both.write_text(text)
        return str(both)

    through = {"jump": f"root@{HOST}:2226"}
    accepted(behind.args(**through, known_hosts=know(jump, behind)), env=env)
    before = attempts(jump), attempts(behind)
    refused(behind.args(**through, known_hosts=know(behind)), "port 2226", "does not stand in", env=env)
    assert attempts(jump) == before[0]
    refused(behind.args(**through, known_hosts=know(jump)), "port 2225", "does not stand in", env=env)
    assert attempts(behind) == before[1]
    refused(behind.args(**through, known_hosts=know(jump), port=9), "10.99.7.2 port 9", "cannot reach it", env=env)
    for bad in ("root@", "root@host:0", "root@host:70000", "host:22x", "a b", "[::1", "[::1]x", ":22", "@host"):
        refused(behind.args(jump=bad, known_hosts=str(both)), env=env, most_ms=AT_ONCE)
    know(jump, behind)
    running = Tool(behind.args(**through, known_hosts=str(both)), ["start", "answer"], ["wait"], ["call", "say", "x"], env=env)
    while running.line()["what"] != "wait":
        pass
    start = time.monotonic()
    lab.stop(jump)
    running.go_on()
    assert running.rest()[0]["result"] == "io" and time.monotonic() - start < 8
    lab.stop(behind)


# ---- What the wrapper lets through, asked by OpenSSH's own client; docs/router-setup.md, step by step. ----


def ssh(lab, *words, stdin=subprocess.DEVNULL, options=()):
    argv = ["ip", "netns", "exec", lab.client, "ssh", "-F", "none", "-i", lab.key, "-o", "BatchMode=yes", "-o",
            f"UserKnownHostsFile={lab.main.known_hosts()}", *options, f"root@{HOST}", *words]
    return subprocess.run(argv, stdin=stdin, capture_output=True, text=True, check=False, timeout=20)


def test_wrapper_runs_verbs_only(lab, tmp_path):
    assert ssh(lab, "say", "hello").stdout == "hello\n"
    assert ssh(lab, "ferry-router", "say", "hello").stdout == "hello\n"
    mark = tmp_path / "ran"
    for words in (["id"], [f"touch {mark}"], [f"say x; touch {mark}"], [f"say $(touch {mark})"], [f"say `touch {mark}`"],
                  [f"say x\ntouch {mark}"], [f"say x && touch {mark}"], [f"sh -c 'touch {mark}'"], ["scp -t /tmp"],
                  ["/usr/lib/openssh/sftp-server"], [f"say ../../{'x' * 3000}"], ["say *"], []):
        done = ssh(lab, *words)
        assert done.returncode == 64 and not done.stdout and "ferry-router:" in done.stderr, (words, done)
    assert not mark.exists()
    done = ssh(lab, "say", "x", options=["-s"])
    assert "x" not in done.stdout
    done = ssh(lab, "sleep", "1", options=["-o", "ExitOnForwardFailure=yes", "-R", "2299:127.0.0.1:1"])
    assert done.returncode == 255 and "forwarding" in done.stderr
    done = ssh(lab, options=["-W", f"{HOST}:22"])
    assert done.returncode == 255 and "SSH-2.0" not in done.stdout


def test_users_with_less(lab, env):
    """docs/router-setup.md §3: not root."""
    server = lab.sshd(port=2227, wrapper=True, forced="/usr/local/sbin/ferry-router", user="ferry")
    lines = tool(server.args(user="ferry"), ["facts"], ["call", "say", "x"], env=env)
    assert lines[1]["root"] == 0 and lines[1]["installed"] == 1 and lines[2]["out"] == "x\n"
    server.authorize(lab.key)  # the script is not in this user's PATH: it is sent
    lines = tool(server.args(user="ferry"), ["facts"], ["call", "say", "x"], env=env)
    assert lines[1]["root"] == 0 and lines[1]["installed"] == 0 and lines[2]["out"] == "x\n"
    lab.stop(server)
