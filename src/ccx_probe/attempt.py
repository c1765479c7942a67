"""One destination, stage by stage, until one of them fails."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from . import speak
from .clock import Clock
from .connect import connect, datagram, resolve
from .model import Answer, Blocked, Certificate, Request
from .speak import Proxy

if TYPE_CHECKING:
    import ssl


@dataclass
class _Seen:
    """What is known so far."""

    stage: str = "dns"
    addresses: tuple[str, ...] = ()
    certificate: Certificate | None = None
    head: speak.Head | None = None


def attempt(request: Request, limit: float, proxy: Proxy | None, trusted: ssl.SSLContext | None) -> Answer:
    """Tries for at most ``limit`` seconds. Never raises for what is wrong with the destination."""
    clock, seen = Clock(limit), _Seen()
    try:
        _try(request, clock, seen, proxy if request.proxied else None, trusted)
        blocked = None
    except Blocked as error:
        blocked = error
    except TimeoutError:
        blocked = Blocked(seen.stage, "timeout", f"{request.host}:{request.port} took longer than {limit:g} s")
    clock.stop()
    if blocked is not None and blocked.shown is not None:
        seen.certificate = blocked.shown
    return Answer(
        key=request.key, ok=blocked is None, stage=blocked.stage if blocked else seen.stage,
        code=blocked.code if blocked else "", err=blocked.err if blocked else "", addresses=seen.addresses,
        seconds=clock.seconds, certificate=seen.certificate, status=seen.head.status if seen.head else None,
        redirect=_redirect(request, seen.head),
    )  # fmt: skip


def _try(request: Request, clock: Clock, seen: _Seen, proxy: Proxy | None, trusted: ssl.SSLContext | None) -> None:
    name = f"{request.host}:{request.port}"
    first = proxy or request
    found = _found(first.host, first.port, clock, seen, "proxy" if proxy else "dns")
    if request.speaks in ("dns-udp", "ntp"):
        _begin("tcp", clock, seen)
        question = speak.dns_question() if request.speaks == "dns-udp" else speak.NTP_QUESTION
        datagram(found, question, name, clock)
        return

    def dial() -> socket.socket:
        if proxy is None:
            return connect(found, name, clock)
        made = connect(found, f"the proxy {proxy.host}:{proxy.port}", clock, "proxy")
        if request.speaks != "http":
            try:
                speak.tunnel(made, proxy, request, clock)
            except BaseException:
                made.close()
                raise
        return made

    _begin("proxy" if proxy else "tcp", clock, seen)
    with dial() as plain:
        if request.speaks == "dns-tcp":
            speak.ask_dns(plain, name, clock)
        elif request.speaks == "http":
            _begin("http", clock, seen)
            seen.head = speak.get(plain, request, clock, proxy)
        elif request.speaks == "https":
            from . import tls  # not before: a node that asks for no HTTPS need not load it

            assert trusted is not None, "whoever asks for HTTPS says what is trusted"
            _begin("tls", clock, seen)
            secure, seen.certificate = tls.handshake(request, plain, dial, trusted, clock)
            with secure:
                _begin("http", clock, seen)
                seen.head = speak.get(secure, request, clock, None)
    if seen.head is not None:
        _judge(request, seen.head, proxy if request.speaks == "http" else None)


def _judge(request: Request, head: speak.Head, proxy: Proxy | None) -> None:
    """An answer is an answer, whatever it says of the path: only a proxy's own, and a broken server's, are none."""
    by_proxy = proxy is not None and (head.status == 407 or "x-squid-error" in head.headers or head.status >= 500)
    if proxy is not None and by_proxy:
        raise speak.refused_by_proxy(proxy, request, head)
    if head.status == 511:
        raise Blocked("http", "login-wanted", f"a gateway answers for {request.host} and wants somebody to log in")
    if head.status >= 500:
        raise Blocked("http", "server-error", f"{request.host} answers {head.status}: it is broken, or whoever it asks")


def _found(host: str, port: int, clock: Clock, seen: _Seen, stage: str) -> list[Any]:
    _begin("dns", clock, seen)
    found = resolve(host, port, clock, stage)
    if stage == "dns":
        seen.addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
    return found


def _begin(stage: str, clock: Clock, seen: _Seen) -> None:
    seen.stage = stage
    clock.begin(stage)


def _redirect(request: Request, head: speak.Head | None) -> str:
    """Another host that the answer sends to. A path may hold a secret, so it is left out."""
    if head is None or not 300 <= head.status < 400:
        return ""
    try:
        host = urlsplit(head.headers.get("location", "")).hostname or ""
    except ValueError:
        return ""
    return "" if host == request.host else host
