"""What is said on a connection to learn whether the right one answers: HTTP, a proxy's CONNECT, DNS, NTP."""

from __future__ import annotations

import base64
import os
import socket
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from .clock import Clock
from .model import Blocked, Request

_LARGEST_HEAD = 16 * 1024
NTP_QUESTION = b"\x1b" + bytes(47)


@dataclass(frozen=True)
class Proxy:
    """Where HTTP leaves by. ``credentials`` go to it alone."""

    host: str
    port: int
    credentials: str = ""

    @classmethod
    def of(cls, url: str) -> Proxy:
        """Of ``http://user:password@host:port``. Raises ValueError, which quotes nothing of it."""
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError("the proxy is no http:// URL")
        pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        secret = base64.b64encode(pair.encode()).decode() if parts.username else ""
        return cls(parts.hostname, parts.port or 3128, secret)

    @property
    def headers(self) -> tuple[str, ...]:
        return (f"Proxy-Authorization: Basic {self.credentials}",) if self.credentials else ()


@dataclass(frozen=True)
class Head:
    """Of an HTTP answer."""

    status: int
    headers: dict[str, str]


def tunnel(on: socket.socket, proxy: Proxy, request: Request, clock: Clock) -> None:
    """Has the proxy connect to the destination. Raises Blocked when it does not."""
    where = _authority(request)
    head = exchange(on, "CONNECT", where, where, clock, "proxy", proxy.headers)
    if not 200 <= head.status < 300:
        raise refused_by_proxy(proxy, request, head)


def refused_by_proxy(proxy: Proxy, request: Request, head: Head) -> Blocked:
    """What a proxy's own answer means."""
    where, who = f"{request.host}:{request.port}", f"the proxy {proxy.host}:{proxy.port}"
    if head.status == 407:
        said = "does not accept the credentials" if proxy.credentials else "wants credentials, and none are set"
        return Blocked("proxy", "proxy-auth", f"{who} {said}")
    if head.status in (502, 503, 504):
        return Blocked("proxy", "proxy-failed", f"{who} can't reach {where} itself (it answers {head.status})")
    return Blocked("proxy", "proxy-refused", f"{who} does not let {where} through (it answers {head.status})")


def get(on: socket.socket, request: Request, clock: Clock, proxy: Proxy | None) -> Head:
    """Asks for the path and reads no more than the head of the answer. By a ``proxy``, the way that plain HTTP goes."""
    target = f"http://{_authority(request)}{request.path or '/'}" if proxy else request.path or "/"
    host = request.host if request.port in (80, 443) else _authority(request)
    return exchange(on, "GET", target, host, clock, "http", proxy.headers if proxy else ())


def exchange(
    on: socket.socket, method: str, target: str, host: str, clock: Clock, stage: str, headers: tuple[str, ...] = ()
) -> Head:
    """One request, and the head of its answer."""
    lines = (f"{method} {target} HTTP/1.1", f"Host: {host}", "User-Agent: ccx-probe", "Accept: */*", *headers)
    closing = () if method == "CONNECT" else ("Connection: close",)
    try:
        on.settimeout(clock.left())
        on.sendall("\r\n".join((*lines, *closing, "", "")).encode("ascii"))
        return _parsed(_read_head(on, clock))
    except TimeoutError:
        raise Blocked(stage, f"{stage}-timeout", f"{_who(stage, host)} takes the request, and never answers") from None
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise Blocked(
            stage, f"{stage}-cut", f"{_who(stage, host)} ends the connection without an answer: {why}"
        ) from None
    except ValueError:
        raise Blocked(stage, "no-http", f"{_who(stage, host)} answers something that is no HTTP") from None


def dns_question() -> bytes:
    """For the address of ``localhost``, which every resolver knows by itself."""
    return os.urandom(2) + bytes.fromhex("01000001000000000000") + b"\x09localhost\x00" + bytes.fromhex("00010001")


def ask_dns(on: socket.socket, name: str, clock: Clock) -> None:
    """Over TCP: any answer to the question will do."""
    question = dns_question()
    try:
        on.settimeout(clock.left())
        on.sendall(len(question).to_bytes(2, "big") + question)
        answer = on.recv(4)
    except OSError:
        answer = b""
    if len(answer) < 2 or (len(answer) == 4 and answer[2:] != question[:2]):
        raise Blocked("tcp", "no-dns", f"{name} takes connections, and does not answer DNS over them")


def _read_head(on: socket.socket, clock: Clock) -> bytes:
    read = b""
    while b"\r\n\r\n" not in read and b"\n\n" not in read:
        on.settimeout(clock.left())
        more = on.recv(4096)
        if not more:
            if read.startswith(b"HTTP/"):
                break
            raise ConnectionResetError("nothing came") if not read else ValueError
        read += more
        if len(read) > _LARGEST_HEAD or not b"HTTP/".startswith(read[:5]):
            break
    return read


def _parsed(head: bytes) -> Head:
    first, *rest = head.decode("latin-1").replace("\r\n", "\n").split("\n\n")[0].split("\n")
    version, _, status = first.partition(" ")
    if not version.startswith("HTTP/"):
        raise ValueError
    pairs = (line.partition(":") for line in rest)
    return Head(int(status[:3]), {name.strip().lower(): value.strip() for name, _, value in pairs})


def _authority(request: Request) -> str:
    host = f"[{request.host}]" if ":" in request.host else request.host
    return f"{host}:{request.port}"


def _who(stage: str, host: str) -> str:
    return "the proxy" if stage == "proxy" else host
