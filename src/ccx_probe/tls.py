"""The handshake, and what a server showed that is not trusted."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from datetime import datetime
from typing import Any

from . import certificates
from .clock import Clock
from .model import Blocked, Certificate, Request

_EXPIRED, _NOT_YET = 10, 9
_SELF_SIGNED = 18
_WRONG_NAME = (62, 64)


def trust(ca: str) -> ssl.SSLContext:
    """What this machine trusts, and ``ca`` (PEM) besides."""
    context = ssl.create_default_context()
    if ca:
        context.load_verify_locations(cadata=ca)
    return context


def handshake(
    request: Request, plain: socket.socket, again: Callable[[], socket.socket], trusted: ssl.SSLContext, clock: Clock
) -> tuple[ssl.SSLSocket, Certificate | None]:
    """``plain``, secured. Raises Blocked; ``again`` makes a second connection, to look closer."""
    try:
        made = _wrap(plain, request.host, trusted, clock)
    except ssl.SSLCertVerificationError as error:
        shown = _shown_anyway(request, again, clock)
        raise Blocked("tls", *_verdict(request.host, error, shown), shown) from None
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
        raise _cut(request, error) from None
    except ssl.SSLError as error:
        reason = (error.reason or type(error).__name__).lower().replace("_", " ")
        raise Blocked(
            "tls", "no-tls", f"{request.host}:{request.port} does not speak TLS as it should: {reason}"
        ) from None
    except TimeoutError:
        raise Blocked(
            "tls", "tls-timeout", f"{request.host}:{request.port} takes the connection, and no more"
        ) from None
    except OSError as error:
        raise _cut(request, error) from None
    return made, _described(made)


def _wrap(plain: socket.socket, host: str, context: ssl.SSLContext, clock: Clock) -> ssl.SSLSocket:
    try:
        plain.settimeout(clock.left())
        return context.wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise


def _shown_anyway(request: Request, again: Callable[[], socket.socket], clock: Clock) -> Certificate | None:
    """What the server shows to who does not ask whether it can be trusted. Nothing is sent to it."""
    careless = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    careless.check_hostname = False
    careless.verify_mode = ssl.CERT_NONE
    try:
        with _wrap(again(), request.host, careless, clock) as made:
            return _described(made)
    except (OSError, Blocked):
        return None


def _described(made: ssl.SSLSocket) -> Certificate | None:
    try:
        return certificates.described(_chain(made), datetime.now(certificates.UTC))
    except ValueError:
        return None


def _chain(made: ssl.SSLSocket) -> list[bytes]:
    """As the server sent it. Public since Python 3.13, there since 3.10; its own certificate is told by all."""
    own = made.getpeercert(binary_form=True)
    if own is None:
        raise ValueError("it shows no certificate")
    source: Any = made if hasattr(made, "get_unverified_chain") else getattr(made, "_sslobj", None)
    tell = getattr(source, "get_unverified_chain", lambda: None)
    chain = [c if isinstance(c, bytes) else _to_der(c) for c in tell() or ()]
    return chain or [own]


def _to_der(certificate: Any) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certificate.public_bytes())


def _verdict(host: str, error: ssl.SSLCertVerificationError, shown: Certificate | None) -> tuple[str, str]:
    """Code and words."""
    code = error.verify_code
    if code in _WRONG_NAME:
        names = ", ".join(shown.names) if shown and shown.names else (shown.subject if shown else "another name")
        return "wrong-name", f"who answers as {host} has a certificate for {names}"
    if code == _EXPIRED:
        return "expired", f"the certificate of {host} expired{f' on {shown.expires}' if shown else ''}"
    if code == _NOT_YET:
        return "not-yet-valid", f"the certificate of {host} is not valid yet: a clock is wrong, here or there"
    if code == _SELF_SIGNED:
        return "self-signed", f"the certificate of {host} is signed by itself{f' ({shown.subject})' if shown else ''}"
    issuer = shown.root if shown else "somebody"
    return "untrusted", f"the certificate of {host} was issued by {issuer}, whom this machine does not trust"


def _cut(request: Request, error: OSError) -> Blocked:
    cut = f"the connection to {request.host}:{request.port} is cut as soon as TLS begins"
    why = error.strerror or type(error).__name__
    return Blocked("tls", "tls-cut", f"{cut}: a firewall may go by the name in it ({why})")
