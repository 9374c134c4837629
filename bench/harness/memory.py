"""Memory: after the start, for each idle connection, for each client that reads slowly."""

import socket
import time

from .generators import Failed
from .proxies import FLOOR, Refused
from .workshop import SMALL

CONNECTIONS, SLOW = 4000, 100
GET = b"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def measure(bench):
    """{proxy: [{start, idle, slow}]} in bytes, the last two for each connection."""
    result = {}
    for proxy, upstream in bench.each():
        if proxy.name == FLOOR:
            continue
        try:
            with bench.serving(proxy, "h1", upstream) as (process, port):
                start = settled(process)
                idle = growth(process, idle_connections(port), CONNECTIONS)
            with bench.serving(proxy, "h1", upstream) as (process, port):
                slow = growth(process, slow_readers(port), SLOW)
            result.setdefault(proxy.name, []).append({"start": start, "idle": idle, "slow": slow})
        except (Refused, Failed, OSError) as error:
            bench.leave_out(proxy, error)
            result.pop(proxy.name, None)
    return result


def growth(process, clients, count):
    """How many bytes each of the clients costs; the clients are closed behind it."""
    before = settled(process)
    opened = []
    try:
        for client in clients:
            opened.append(client)
        assert len(opened) == count
        return (settled(process) - before) / count
    finally:
        for client in opened:
            client.close()


def idle_connections(port):
    """Connections that have had one request answered."""
    for _ in range(CONNECTIONS):
        client = socket.create_connection(("127.0.0.1", port), 5)
        client.sendall(GET % b"/small")
        answer = b""
        while not answer.endswith(b"\r\n\r\n" + b"x" * SMALL):
            part = client.recv(4096)
            if not part:
                client.close()
                raise Failed("a connection was closed before its answer")
            answer += part
        yield client


def slow_readers(port):
    """Clients that ask for 64 MiB and read nothing of it."""
    for _ in range(SLOW):
        client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        # A fixed window: the kernel must not take the whole response on the client's behalf.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 << 10)
        client.settimeout(5)
        client.connect(("127.0.0.1", port))
        client.sendall(GET % b"/huge")
        yield client


def settled(process):
    """Its memory as soon as that has stopped to change."""
    last, since = process.memory(), time.monotonic()
    end = since + 3
    while time.monotonic() < min(end, since + 0.4):
        time.sleep(0.05)
        current = process.memory()
        if abs(current - last) > 64 << 10:
            last, since = current, time.monotonic()
    return process.memory()
