"""Whom to trust: the CA of a control plane, from this machine's files, from a file given, or confirmed on first use."""

from __future__ import annotations

import hashlib
import ssl
import sys
from pathlib import Path
from urllib.parse import urlsplit

from ccx.cli import contexts, output
from ccx.cli.exits import Unreachable
from ccx.errors import CcxError, Invalid, NotFound

CA_PATH = "/ca.pem"
"""Where a control plane shows its installation's CA to who doesn't trust it yet."""


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
    return layout.public_url, str(layout.etc / "ca.pem")


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
        raise Invalid("the CA was not confirmed", field="ca_file", remedy="Ask the operator: ccx status shows it there")
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
    import httpx

    try:
        # Unverified on purpose: what comes is only trusted once its fingerprint is confirmed.
        response = httpx.get(url + CA_PATH, verify=False, timeout=10, trust_env=False)  # noqa: S501
        response.raise_for_status()
        fingerprint(response.text)
    except (httpx.HTTPError, ValueError) as error:
        raise Unreachable(
            f"{url} does not show its CA: {error}", remedy="Get the CA's file from its operator and give --ca-file"
        ) from None
    return response.text


def is_trusted(error: CcxError) -> bool:
    """Whether a call failed for another reason than an unknown CA."""
    return "not trusted" not in error.err
