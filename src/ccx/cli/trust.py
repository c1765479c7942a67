"""Whom to trust: the CA of a control plane, from this machine's files, from a file given, or confirmed on first use."""

from __future__ import annotations

import hashlib
import socket
import ssl
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ccx.cli import contexts, output
from ccx.cli.exits import Unreachable
from ccx.errors import CcxError, Invalid, NotFound


def local_instance(instance: str) -> tuple[str, str]:
    """The URL and CA file of an instance on this machine. Raises :class:`NotFound` where there is none."""
    from ccx.embedded.layout import remembered

    try:
        layout = remembered(instance)
    except OSError as error:
        raise Invalid(
            f"can't read the files of instance {instance!r}: {error.strerror}",
            remedy="Be root, or give --url and --ca-file",
        ) from None
    if layout is None:
        raise NotFound(
            f"this machine has no instance {instance!r}",
            field="url",
            remedy="Start one: ccx up. For a remote control plane: ccx login --url https://ccx.example.net",
        )
    return layout.public_url, str(layout.etc / "ca.crt")


def keep(pem: str, context: str) -> str:
    """Stores a control plane's CA with our contexts; the file's path."""
    file = contexts.folder() / "control" / f"{context}.pem"
    contexts.write_private(file, pem)
    return str(file)


def read(ca_file: str) -> str:
    """The PEM in ``ca_file``. Raises :class:`Invalid`."""
    try:
        pem = Path(ca_file).expanduser().read_text()
        fingerprint(pem)
    except (OSError, ValueError) as error:
        raise Invalid(f"{ca_file} holds no certificate: {error}", field="ca_file", remedy="Give a PEM file") from None
    return pem


def first_use(url: str, expected: str = "") -> str:
    """The CA that ``url`` says signs it (PEM), once the person or ``expected`` confirms its fingerprint.

    Raises :class:`Unreachable` when it shows none, :class:`Invalid` when nobody can be asked or the answer is no.
    """
    pem = _shown_by(url)
    found = fingerprint(pem)
    if expected:
        if _digits(expected) != _digits(found):
            raise Invalid(
                f"{url} shows the fingerprint {found}",
                field="fingerprint",
                remedy="Don't go on: it is not who you mean",
            )
        return pem
    if not sys.stdin.isatty():
        raise Invalid(
            f"{url} is signed by a CA that this machine does not know",
            field="ca_file",
            remedy=f"Give --ca-file FILE, or --fingerprint {found} if that is what its operator tells you",
        )
    output.say(f"{urlsplit(url).netloc} is signed by a CA that this machine does not know. Its SHA-256 is\n  {found}")
    print("Is it what its operator told you? Type yes to trust it from now on: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() != "yes":
        raise Invalid(
            "the CA was not confirmed",
            field="ca_file",
            remedy="Its operator gets it by: openssl x509 -noout -fingerprint -sha256 -in /etc/ccx/default/ca.crt",
        )
    return pem


def fingerprint(pem: str) -> str:
    """SHA-256 of the first certificate, as ``AB:CD:…``. Raises ValueError for what is no PEM."""
    begin = pem.find("-----BEGIN CERTIFICATE-----")
    end = pem.find("-----END CERTIFICATE-----")
    if begin < 0 or end < begin:
        raise ValueError("no PEM certificate")
    digest = (
        hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem[begin : end + len("-----END CERTIFICATE-----")]))
        .hexdigest()
        .upper()
    )
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


def _digits(text: str) -> str:
    return text.replace(":", "").strip().upper()


def _shown_by(url: str) -> str:
    """The last certificate of the chain that ``url`` shows, PEM. Not verified: the person confirms its fingerprint."""
    parts = urlsplit(url)
    unverified = ssl.create_default_context()
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    address = (parts.hostname or "", parts.port or 443)
    try:
        with (
            socket.create_connection(address, timeout=10) as line,
            unverified.wrap_socket(line, server_hostname=parts.hostname) as channel,
        ):
            return ssl.DER_cert_to_PEM_cert(_chain(channel)[-1])
    except OSError as error:
        raise Unreachable(f"{url} can't be reached: {error}", remedy="Check the URL and the network") from None


def _chain(channel: Any) -> list[bytes]:
    """The peer's certificates, DER. Python 3.13 made this public; before, it has another name and shape."""
    if hasattr(channel, "get_unverified_chain"):
        return list(channel.get_unverified_chain())
    return [ssl.PEM_cert_to_DER_cert(link.public_bytes()) for link in channel._sslobj.get_unverified_chain()]


def is_trusted(error: CcxError) -> bool:
    """Whether a call failed for another reason than an unknown CA."""
    return "not trusted" not in error.err
