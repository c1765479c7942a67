"""The mirror's own key, which signs what it publishes; and vendors' keys, in the form that tools want them in."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ccx.errors import CcxError, Invalid
from ccx.network.mirror.gpg import Gpg

_NAME = "CCX package mirror"


@dataclass(frozen=True)
class SigningKey:
    """``secret`` is readable by its owner alone; ``public`` is what nodes trust (the setting ``mirror.key``)."""

    secret: Path
    public: Path
    fingerprint: str


def signing_key(folder: Path) -> SigningKey:
    """The key in ``folder``, made when there is none. Blocks."""
    secret, public = folder / "signing-key.asc", folder / "signing-key.pub.asc"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with Gpg() as gpg:
        if not public.exists():
            gpg.run("--passphrase", "", "--quick-generate-key", _NAME, "ed25519", "sign", "never")
            _write(secret, gpg.run("--armor", "--export-secret-keys", _NAME), 0o600)
            _write(public, gpg.run("--armor", "--export", _NAME), 0o644)
        return SigningKey(secret, public, fingerprints(public.read_bytes())[0])


def fingerprints(keys: bytes) -> list[str]:
    """Of the primary keys in there, armoured or not. Raises Invalid where there is none."""
    with Gpg() as gpg:
        try:
            listed = gpg.run("--show-keys", "--with-colons", stdin=keys).decode(errors="replace")
        except CcxError:
            listed = ""
    found, primary = [], False
    for fields in (line.split(":") for line in listed.splitlines()):
        if fields[0] in ("pub", "sub"):
            primary = fields[0] == "pub"
        elif fields[0] == "fpr" and primary:
            found.append(fields[9])
            primary = False
    if not found:
        raise Invalid("there is no OpenPGP key in it", remedy="Give public keys, as gpg --export writes them")
    return found


def binary(keys: bytes) -> bytes:
    """The same keys, as ``gpgv --keyring`` takes them. Raises Invalid where there are none."""
    fingerprints(keys)
    with Gpg() as gpg:
        gpg.run("--import", "--import-options", "import-minimal", stdin=keys)
        return gpg.run("--export")


def _write(path: Path, content: bytes, mode: int) -> None:
    partial = path.with_name(f".{path.name}.new")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
