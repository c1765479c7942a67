"""Makes an instance's folders, keys, certificates and settings; what exists stays as it is."""

from __future__ import annotations

import base64
import os
import pwd
import secrets
import socket
import string
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ccx.cmon.packages import build_repository
from ccx.embedded import bundle, object_store
from ccx.embedded.defaults import settings_text, with_changes, with_public_url
from ccx.embedded.layout import USER, Layout
from ccx.embedded.nats import credentials_file
from ccx.errors import Invalid
from ccx.pki import KeyPair, issue, new_ca, new_ssh_key
from ccx.secrets import KeyRing, export_recovery
from ccx.settings.load import parse

_RENEW_BEFORE = timedelta(days=60)
_LEAF_VALID = timedelta(days=397)


@dataclass(frozen=True)
class Owner:
    """User and group ids of a file."""

    uid: int
    gid: int


class Files:
    """The files of one instance. Secrets get mode 0600 before a byte is in them."""

    def __init__(self, layout: Layout, changes: Sequence[str] = ()) -> None:
        """``changes`` to the settings, each ``dotted.name=value``."""
        self._layout = layout
        self._changes = changes
        user = pwd.getpwnam(USER)
        self._ccx = Owner(user.pw_uid, user.pw_gid)
        self._root = Owner(0, user.pw_gid)

    @property
    def wrapping_key(self) -> Path:
        return self._layout.etc / "wrapping.key"

    @property
    def recovery_key(self) -> Path:
        """Opens the copy of this configuration. Root's alone, unlike the wrapping key: the CA's key is in there."""
        return self._layout.etc / "recovery.key"

    def make(self) -> None:
        """Everything that is missing. Idempotent. Raises OSError, and :class:`ccx.errors.CcxError` of the keys."""
        self._folders()
        self._layout.save()
        self._settings()
        self._secrets()
        self.certificates()
        self.packages()
        self._resolver()
        self.bundle()

    def export_recovery(self, target: Path, passphrase: str) -> None:
        """Writes the recovery copy of the wrapping keys and the recovery key, mode 0600. Raises FileExistsError."""
        text = export_recovery(KeyRing.load(self.wrapping_key).plus(0, self._recovery_key()), passphrase)
        _create(target, text, 0o600, Owner(os.getuid(), os.getgid()))
        self.note_recovery_copy()

    def note_recovery_copy(self) -> None:
        """Somebody has a recovery copy of these keys."""
        _replace(self._layout.etc / "recovery.made", f"{datetime.now(UTC):%Y-%m-%d}\n", 0o644, self._root)

    def bundle(self) -> None:
        """The configuration as it is now, sealed for the object store. Idempotent."""
        sealed, target = bundle.sealed(self._layout.etc, self._recovery_key()), self._layout.var / bundle.FILE
        if not target.exists() or not bundle.same(target.read_bytes(), sealed):
            fresh = target.with_suffix(".fresh")
            fresh.write_bytes(sealed)
            os.chown(fresh, self._ccx.uid, self._ccx.gid)
            fresh.chmod(0o600)
            fresh.replace(target)

    def restore_keys(self, keys: KeyRing) -> bytes:
        """Puts what a recovery copy held where it belongs; returns the recovery key. Raises Invalid without one."""
        recovery, wrapping = keys.parted(0)
        if recovery is None:
            raise Invalid(
                "this recovery copy holds only the wrapping key: it is older than ccx recover",
                field="--recovery-file",
                remedy="Give one that a later ccx up --recovery-file made",
            )
        _replace(self.recovery_key, base64.b64encode(recovery).decode() + "\n", 0o600, Owner(0, 0))
        _replace(self.wrapping_key, wrapping.to_lines(), 0o600, self._ccx)
        return recovery

    def restore_bundle(self, sealed: bytes, recovery_key: bytes) -> None:
        """Puts the configuration back."""
        bundle.restore(sealed, recovery_key, self._layout.etc)

    def own(self, folder: Path) -> None:
        """Gives a database's folder to the user that it runs as, for whom alone it is."""
        for path in (folder, *folder.rglob("*")):
            os.chown(path, self._ccx.uid, self._ccx.gid)
            path.chmod(0o700 if path.is_dir() else 0o600)

    def recovery_folder(self) -> Path:
        """Where claim, status and sealed configuration are."""
        folder = self._layout.var / "recovery"
        folder.mkdir(parents=True, exist_ok=True)
        _folder(folder, 0o750, self._ccx)
        for file in folder.iterdir():
            os.chown(file, self._ccx.uid, self._ccx.gid)
        return folder

    def _recovery_key(self) -> bytes:
        return base64.b64decode(self.recovery_key.read_text())

    def _folders(self) -> None:
        layout = self._layout
        for shared in (layout.etc.parent, layout.var.parent, layout.run.parent):
            shared.mkdir(mode=0o755, parents=True, exist_ok=True)
        for folder in (layout.etc, layout.var):
            _folder(folder, 0o750, self._root)
        _folder(layout.run, 0o751, self._root)  # the DNS server, nobody's, must get to its names in there
        _folder(layout.var / "cloud", 0o700, Owner(0, 0))
        _folder(layout.var / "postgresql", 0o750, self._ccx)
        _folder(layout.var / "apt", 0o750, self._root)
        _folder(layout.var / "nats", 0o750, self._ccx)
        _folder(layout.var / "s3", 0o750, self._ccx)
        self.recovery_folder()
        _folder(layout.logs, 0o750, self._ccx)
        _folder(layout.postgres_socket, 0o750, self._ccx)

    def _settings(self) -> None:
        path = self._layout.etc / "ccx.yaml"
        before = path.read_text() if path.exists() else settings_text(self._layout)
        after = with_public_url(before, self._layout.public_url)
        if self._changes:
            after = with_changes(after, self._changes)
            parse(after, path, self._layout.instance, environ={})  # a change that is refused changes nothing
        if after != before or not path.exists():
            _replace(path, after, 0o640, self._root)

    def _secrets(self) -> None:
        if not self.wrapping_key.exists():
            KeyRing.create(self.wrapping_key)
        os.chown(self.wrapping_key, self._ccx.uid, self._ccx.gid)
        if not self.recovery_key.exists():
            _create(self.recovery_key, base64.b64encode(secrets.token_bytes(32)).decode() + "\n", 0o600, Owner(0, 0))
        if not (nats := credentials_file(self._layout)).exists():
            _create(nats, f"ccx\n{secrets.token_urlsafe(32)}\n", 0o600, self._ccx)
        if not (own := object_store.credentials_file(self._layout)).exists():
            access = "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(20))
            _create(own, f"{access}\n{secrets.token_urlsafe(30)}\n", 0o600, self._ccx)
        if not (operator := self._layout.operator_password).exists():
            _create(operator, secrets.token_urlsafe(18) + "\n", 0o600, self._ccx)
        if not (key := self._layout.etc / "ssh.key").exists():
            private, public = new_ssh_key()
            _replace(self._layout.etc / "ssh.pub", public + "\n", 0o644, self._root)
            _create(key, private, 0o600, self._ccx)

    def certificates(self) -> None:
        """The installation's CA, and the listener's certificate, anew where it expires soon. Idempotent.

        The CA's key stays root's: a control plane that was broken into can't issue certificates with it.
        """
        etc = self._layout.etc
        certificate, key = etc / "ca.crt", etc / "ca.key"
        if not key.exists():
            made = new_ca(f"CCX installation {self._layout.instance}"[:64])
            _replace(certificate, made.certificate, 0o644, self._root)
            _create(key, made.key, 0o600, Owner(0, 0))
        ca = KeyPair(certificate.read_text(), key.read_text())
        self._leaf(ca, "tls", *self._own_names())
        self._leaf(ca, "s3", [], [str(self._layout.control)])

    def _leaf(self, ca: KeyPair, name: str, names: list[str], addresses: list[str]) -> None:
        certificate, key = self._layout.etc / f"{name}.crt", self._layout.etc / f"{name}.key"
        if _is_good(certificate, key, ca, names, addresses):
            return
        leaf = issue(ca, "ccx", dns_names=names, addresses=addresses, valid=_LEAF_VALID, client=False)
        _replace(key, leaf.key, 0o600, self._ccx)
        _replace(certificate, leaf.certificate + ca.certificate, 0o644, self._root)

    def _own_names(self) -> tuple[list[str], list[str]]:
        """What the public listener and the nodes' one may be called."""
        listen = self._layout.listen_address[0]
        addresses = {"127.0.0.1", str(self._layout.control)}
        if listen in ("0.0.0.0", "::", ""):  # noqa: S104 - compared, not bound
            addresses |= _machine_addresses()
        else:
            addresses.add(listen)
        return sorted({"localhost", "ccx.localhost", socket.gethostname().lower()}), sorted(addresses)

    def packages(self) -> None:
        """The APT repository that nodes get their agent from, with the agent that there is now. Idempotent.

        Its signing key stays root's, as the CA's does.
        """
        home = self._layout.etc / "apt"
        _folder(home, 0o700, Owner(0, 0))
        repository = build_repository(self._layout.var / "apt", home)
        _replace(self._layout.etc / "apt.asc", repository.public_key_armored, 0o644, self._root)

    def _resolver(self) -> None:
        """What the control plane itself resolves names with: the instance's own resolver."""
        _replace(self._layout.run / "resolv.conf", f"nameserver {self._layout.router}\n", 0o644, self._root)


def _is_good(certificate: Path, key: Path, ca: KeyPair, names: list[str], addresses: list[str]) -> bool:
    """Whether a leaf need not be made anew."""
    try:
        current = x509.load_pem_x509_certificate(certificate.read_bytes())
    except FileNotFoundError:
        return False
    if current.issuer != x509.load_pem_x509_certificate(ca.certificate.encode()).subject:
        return True  # the operator's own
    try:  # who was killed between the two has replaced one of them
        fits = load_pem_private_key(key.read_bytes(), None).public_key() == current.public_key()
    except (FileNotFoundError, ValueError):
        return False
    alternative = current.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    known = set(alternative.get_values_for_type(x509.DNSName)) | {
        str(address) for address in alternative.get_values_for_type(x509.IPAddress)
    }
    fresh = current.not_valid_after_utc - datetime.now(UTC) > _RENEW_BEFORE
    return fits and fresh and known >= {*names, *addresses}


def _machine_addresses() -> set[str]:
    """The address that this machine is reached at, if it has a way out. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return set()
        return {probe.getsockname()[0]}


def _folder(path: Path, mode: int, owner: Owner) -> None:
    path.mkdir(mode=mode, exist_ok=True)
    os.chown(path, owner.uid, owner.gid)
    path.chmod(mode)


def _create(path: Path, text: str, mode: int, owner: Owner) -> None:
    """Whole or not at all: a start that is killed leaves no half a key."""
    partial = path.with_name(f".{path.name}.new")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        os.fchown(file.fileno(), owner.uid, owner.gid)
        file.write(text)
        file.flush()
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())
    os.link(partial, path)
    partial.unlink()


def _replace(path: Path, text: str, mode: int, owner: Owner) -> None:
    fresh = path.with_name(f".{path.name}.fresh")
    fresh.unlink(missing_ok=True)
    _create(fresh, text, mode, owner)
    fresh.replace(path)
