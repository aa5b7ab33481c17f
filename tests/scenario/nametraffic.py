"""A client that knows names alone: asks a name server, and sends an echo request to what it is told; over and over.

    nametraffic.py SERVER[,SERVER…] NAME…

Run inside a client's namespace, until it gets SIGTERM.  Each name is tried twice a round: by one who asks
each time (`asks`), and by one who keeps an answer for as long as its TTL says (`caches`).  A line each: time
(CLOCK_MONOTONIC), who, name, address (`-`: none), `ok` or `lost`.  Of the standard library alone; used by
test_end_to_end.py.
"""
import os
import select
import signal
import socket
import struct
import sys
import time

WAIT_S = 0.5
NAME_WAIT_S = 5.0  # name servers do not move: an answer that is late is the processor's
ROUND_S = 0.02


def skip_name(packet, at):
    while packet[at]:
        if packet[at] >= 0xc0:  # a pointer (RFC 1035 4.1.4) ends a name
            return at + 2
        at += 1 + packet[at]
    return at + 1


def waits(sock, end):
    """Whether something is there to be received by then, also where we are late ourselves."""
    return bool(select.select([sock], [], [], max(0.0, end - time.monotonic()))[0])


def resolve(sock, server, name, number):
    """(address, TTL) of the first A record, or None."""
    question = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0" + struct.pack("!HH", 1, 1)
    sock.sendto(struct.pack("!6H", number, 0, 1, 0, 0, 0) + question, (server, 53))
    end = time.monotonic() + NAME_WAIT_S
    while waits(sock, end):
        packet = sock.recv(1500)
        if packet[:2] != struct.pack("!H", number):
            continue
        at = 12 + len(question)
        for _ in range(struct.unpack_from("!H", packet, 6)[0]):
            at = skip_name(packet, at)
            kind, _, ttl, length = struct.unpack_from("!HHIH", packet, at)
            if kind == 1:
                return socket.inet_ntoa(packet[at + 10:at + 14]), ttl
            at += 10 + length
        return None
    return None


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff


def reached(sock, address, number):
    body = struct.pack("!HH", os.getpid() & 0xffff, number)
    sock.sendto(struct.pack("!BBH", 8, 0, checksum(b"\x08\0\0\0" + body)) + body, (address, 0))
    end = time.monotonic() + WAIT_S
    while waits(sock, end):
        packet, (source, _) = sock.recvfrom(1500)
        if source == address and packet[20] == 0 and packet[24:28] == body:
            return True
    return False


def main(servers, names):
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    ask = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    echo = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    kept = {}  # name: (address, good until)
    number = 0
    while not stopped:
        begun = time.monotonic()
        for name in names:
            for who in ("asks", "caches"):
                number = number % 0xffff + 1
                now = time.monotonic()
                address, until = kept.get(name, (None, 0)) if who == "caches" else (None, 0)
                if not address or now >= until:
                    answer = resolve(ask, servers[number // 2 % len(servers)], name, number)
                    address = answer and answer[0]
                    if answer and who == "caches":
                        kept[name] = (address, now + answer[1])
                good = address and reached(echo, address, number)
                print(f"{now:.6f} {who} {name} {address or '-'} {'ok' if good else 'lost'}", flush=True)
        time.sleep(max(0.0, ROUND_S - (time.monotonic() - begun)))


if __name__ == "__main__":
    main(sys.argv[1].split(","), sys.argv[2:])
