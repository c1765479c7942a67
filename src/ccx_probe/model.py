"""What is asked and what is answered, both as plain JSON, for they travel to nodes and back."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

STAGES = ("dns", "proxy", "tcp", "tls", "http")
"""In the order in which they are tried; ``proxy`` only where there is one."""


@dataclass(frozen=True)
class Request:
    """One destination.

    Attributes:
        key: the caller's own name for it; the answer carries it back.
        speaks: ``https``, ``http``, ``tcp`` (it is connected to, no more), ``dns-udp``, ``dns-tcp`` or ``ntp``.
        path: of the URL that is asked for, where HTTP is spoken.
        proxied: whether it goes by the proxy that the probe is given.
    """

    key: str
    host: str
    port: int
    speaks: str
    path: str = "/"
    proxied: bool = False

    @classmethod
    def from_json(cls, members: Any) -> Request:
        """Raises ValueError for what is no request."""
        known = {name: members[name] for name in (f.name for f in fields(cls)) if name in members}
        request = cls(**known)
        texts = (request.key, request.host, request.speaks, request.path)
        if not all(isinstance(text, str) for text in texts) or not isinstance(request.port, int):
            raise ValueError("a request's members are of the wrong kind")
        if any(c in request.host + request.path for c in "\r\n \0"):
            raise ValueError("a host or path has white space in it")
        return request

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Certificate:
    """What a server showed, of the certificate and of the chain that it came with."""

    subject: str
    issuer: str
    root: str
    """Who issued the last certificate of the chain: the CA that somebody has to trust."""
    expires: str
    """``2027-01-31``."""
    days: int
    """Until then; negative when it is over."""
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """How it went.

    Attributes:
        stage: the last one that was tried: one of :data:`STAGES`.
        code: what is wrong, for programs; empty when nothing is.
        err: the same in words.
        seconds: how long each stage took.
        status: of the HTTP answer.
        redirect: the host that the HTTP answer sends on to, where it is another.
    """

    key: str
    ok: bool
    stage: str = ""
    code: str = ""
    err: str = ""
    addresses: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    certificate: Certificate | None = None
    status: int | None = None
    redirect: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, members: dict[str, Any]) -> Answer:
        shown = members.get("certificate")
        certificate = Certificate(**{**shown, "names": tuple(shown["names"])}) if shown else None
        return cls(**{**members, "addresses": tuple(members["addresses"]), "certificate": certificate})


class Blocked(Exception):
    """The destination can't be used: at which stage, and why. ``shown`` is a certificate that is the trouble."""

    def __init__(self, stage: str, code: str, err: str, shown: Certificate | None = None) -> None:
        super().__init__(err)
        self.stage = stage
        self.code = code
        self.err = err
        self.shown = shown
