"""Names to addresses, and addresses to connected sockets, all within the attempt's time."""

from __future__ import annotations

import errno
import os
import queue
import selectors
import socket
import threading
from collections.abc import Sequence
from typing import Any

from .clock import Clock
from .model import Blocked

_MOST_ADDRESSES = 8
_NO_WAY = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EADDRNOTAVAIL)


def resolve(host: str, port: int, clock: Clock, stage: str = "dns") -> list[Any]:
    """What ``getaddrinfo`` says, which is what programs here go by: hosts file, resolver and all.

    It can't be told to hurry, so it runs in a thread of its own, which is left alone when the time is up.
    """
    found: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def look() -> None:
        try:
            found.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.put(error)

    threading.Thread(target=look, daemon=True).start()
    try:
        answer = found.get(timeout=clock.left())
    except (queue.Empty, TimeoutError):
        raise Blocked(stage, "dns-timeout", f"the resolver does not say what {host} is: it does not answer") from None
    if isinstance(answer, socket.gaierror) and answer.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
        raise Blocked(stage, "no-such-name", f"there is no name {host} here (the resolver says so)")
    if isinstance(answer, Exception):
        why = answer.strerror if isinstance(answer, OSError) and answer.strerror else type(answer).__name__
        raise Blocked(stage, "dns-failed", f"the resolver can't say what {host} is: {why}")
    return list(answer[:_MOST_ADDRESSES])


def connect(found: Sequence[Any], name: str, clock: Clock, stage: str = "tcp") -> socket.socket:
    """A connected socket to whichever of the addresses answers first."""
    problems: list[OSError] = []
    pending: set[socket.socket] = set()
    with selectors.DefaultSelector() as selector:
        try:
            for family, kind, protocol, _, address in found:
                try:
                    made = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
                except OSError as error:  # a family that this machine does not have
                    problems.append(error)
                    continue
                pending.add(made)
                code = made.connect_ex(address)
                if code in (0, errno.EINPROGRESS):
                    selector.register(made, selectors.EVENT_WRITE)
                else:
                    pending.discard(made)
                    made.close()
                    problems.append(OSError(code, os.strerror(code)))
            while pending:
                for key, _ in selector.select(clock.left()):
                    ready = key.fileobj
                    assert isinstance(ready, socket.socket)
                    selector.unregister(ready)
                    pending.discard(ready)
                    code = ready.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    if code == 0:
                        ready.setblocking(True)
                        return ready
                    ready.close()
                    problems.append(OSError(code, os.strerror(code)))
        except TimeoutError:
            raise Blocked(stage, "timeout", f"{name} does not answer: packets to it are dropped on the way") from None
        finally:
            for left in pending:
                left.close()
    raise _explained(stage, name, problems)


def datagram(found: Sequence[Any], message: bytes, name: str, clock: Clock) -> bytes:
    """The answer to one datagram, sent again each second."""
    family, _, _, _, address = found[0]
    with socket.socket(family, socket.SOCK_DGRAM) as made:
        try:
            made.connect(address)
            while True:
                made.settimeout(min(1.0, clock.left()))
                made.send(message)
                try:
                    return made.recv(4096)
                except TimeoutError:
                    continue
        except TimeoutError:
            raise Blocked("tcp", "timeout", f"{name} (UDP) does not answer") from None
        except OSError as error:
            raise _explained("tcp", f"{name} (UDP)", [error]) from None


def _explained(stage: str, name: str, problems: Sequence[OSError]) -> Blocked:
    """By the problem that tells most: an address family without a route tells nothing."""
    codes = [problem.errno for problem in problems]
    if errno.ECONNREFUSED in codes:
        return Blocked(stage, "refused", f"{name} refuses connections: nothing listens, or a firewall rejects them")
    if errno.EPERM in codes or errno.EACCES in codes:
        return Blocked(stage, "forbidden", f"this machine's own firewall forbids connections to {name}")
    if any(code in _NO_WAY for code in codes):
        return Blocked(stage, "unreachable", f"there is no way to {name}: no route, or a firewall rejects it")
    why = problems[0].strerror if problems else "it has no address"
    return Blocked(stage, "failed", f"{name} can't be connected to: {why}")
