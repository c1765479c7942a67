"""The agent's package and the signed APT repository that nodes install it from."""

from __future__ import annotations

import gzip
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from ccx.cmon import deb
from ccx.cmon.sources import node_side, shared
from ccx.network.mirror.gpg import Gpg

_LAUNCHER = """#!/usr/bin/python3 -I
import sys

sys.path.insert(0, "/usr/lib/ccx-agent")

from ccx_agent.main import main

sys.exit(main())
"""

# The account that the control plane logs in as: it may run the agent as root, and nothing else.
_SUDOERS = """Defaults:ccx-agent !pam_session, !use_pty, !requiretty
ccx-agent ALL=(root) NOPASSWD: /usr/bin/ccx-agent
"""

_SYSUSERS = 'u ccx-agent - "CCX agent" / /bin/sh\n'

# No PAM: a session of it would ask the login manager for each connection. The account has no password that could match.
_SSHD = """HostKey /etc/ssh/ssh_host_ed25519_key
AllowUsers ccx-agent
AuthorizedKeysFile /etc/ssh/ccx-agent.keys
AuthenticationMethods publickey
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
X11Forwarding no
AllowTcpForwarding no
PrintMotd no
MaxSessions 64
"""

_POSTINST = """#!/bin/sh
set -e
systemd-sysusers ccx-agent.conf
usermod -p '*' ccx-agent
install -d -m 0700 /var/lib/ccx-agent
"""

_KEY_NAME = "CCX packages"


@dataclass(frozen=True)
class AptRepository:
    """A flat repository: ``deb [signed-by=…] https://<host>/apt/ ./``."""

    path: Path
    public_key_armored: str
    suite: str
    agent_version: str
    """Of the package ``ccx-agent`` in it."""


def agent_package() -> tuple[str, bytes]:
    """``(version, .deb)`` of the agent, from the sources of this installation. The version tells its content."""
    sources = {path.name: path.read_bytes() for path in sorted((node_side() / "ccx_agent").glob("*.py"))}
    files = {f"/usr/lib/ccx-agent/ccx_agent/{name}": deb.File(content) for name, content in sources.items()}
    files |= {
        f"/usr/lib/ccx-agent/{shared().name}/{path.name}": deb.File(path.read_bytes())
        for path in sorted(shared().glob("*.py"))
    }
    files |= {
        "/usr/bin/ccx-agent": deb.File(_LAUNCHER.encode(), 0o755),
        "/etc/sudoers.d/ccx-agent": deb.File(_SUDOERS.encode(), 0o440),
        "/etc/ssh/sshd_config.d/10-ccx.conf": deb.File(_SSHD.encode(), 0o600),
        "/usr/lib/sysusers.d/ccx-agent.conf": deb.File(_SYSUSERS.encode()),
    }
    digest = hashlib.sha256(repr(sorted(files.items())).encode() + _POSTINST.encode()).hexdigest()
    base = sources["version.py"].decode().split('VERSION = "')[1].split('"')[0]
    version = f"{base}+{int(digest[:8], 16)}"
    files["/usr/lib/ccx-agent/ccx_agent/version.py"] = deb.File(f'VERSION = "{version}"\n'.encode())
    return version, deb.build(_control(version), files, {"postinst": _POSTINST})


def _control(version: str) -> dict[str, str]:
    return {
        "Package": "ccx-agent",
        "Version": version,
        "Architecture": "all",
        "Maintainer": "CCX <packages@ccx.invalid>",
        "Section": "admin",
        "Priority": "optional",
        "Depends": "python3 (>= 3.11), openssh-server, sudo",
        "Description": "What the CCX control plane may ask of a node",
    }


def build_repository(directory: Path, key_home: Path) -> AptRepository:
    """Builds the repository, or finds that it holds these packages already. Blocks: call it in a thread.

    ``key_home`` keeps the installation's signing key, which is made when it is absent.
    """
    directory.mkdir(parents=True, exist_ok=True)
    public_key = _signing_key(key_home)
    version, package = agent_package()
    name = f"ccx-agent_{version}_all.deb"
    index = _index_entry(version, name, package).encode()
    contents = {"Packages": index, "Packages.gz": gzip.compress(index, mtime=0)}
    release = _release(contents)
    signed = directory / "InRelease"
    marker = directory / ".signed"
    state = hashlib.sha256(release.encode() + public_key.encode()).hexdigest()
    if not (signed.exists() and marker.exists() and marker.read_text() == state and (directory / name).exists()):
        _write(directory / name, package)
        for path, content in contents.items():
            _write(directory / path, content)
        _write(signed, _sign(release, key_home))
        _write(marker, state.encode())
    return AptRepository(directory, public_key, "ccx", version)


def offered_version(directory: Path) -> str:
    """Of the agent in the repository: what nodes can install, whichever sources there are now. Raises OSError."""
    lines = (directory / "Packages").read_text().splitlines()
    return next(line.partition(": ")[2] for line in lines if line.startswith("Version: "))


def _index_entry(version: str, name: str, package: bytes) -> str:
    fields = {
        **_control(version),
        "Filename": f"./{name}",
        "Size": str(len(package)),
        "SHA256": hashlib.sha256(package).hexdigest(),
    }
    return "".join(f"{field}: {value}\n" for field, value in fields.items())


def _release(contents: dict[str, bytes]) -> str:
    sums = "".join(f" {hashlib.sha256(data).hexdigest()} {len(data)} {path}\n" for path, data in contents.items())
    # A fixed date: a node whose clock is behind must not take the repository for one from the future.
    return (
        "Origin: CCX\nLabel: CCX\nSuite: ccx\nCodename: ccx\nArchitectures: all amd64 arm64\n"
        f"Date: Mon, 01 Jan 2024 00:00:00 UTC\nSHA256:\n{sums}"
    )


def _signing_key(key_home: Path) -> str:
    """The public key, armoured. Makes the pair when there is none."""
    public = key_home / "signing-key.pub.asc"
    if not public.exists():
        key_home.mkdir(parents=True, exist_ok=True)
        with Gpg() as gpg:
            gpg.run("--passphrase", "", "--quick-generate-key", _KEY_NAME, "ed25519", "sign", "never")
            _write(key_home / "signing-key.asc", gpg.run("--armor", "--export-secret-keys", _KEY_NAME), 0o600)
            _write(public, gpg.run("--armor", "--export", _KEY_NAME))
    return public.read_text()


def _sign(text: str, key_home: Path) -> bytes:
    with Gpg() as gpg:
        gpg.run("--import", str(key_home / "signing-key.asc"))
        return gpg.run("--clearsign", "--digest-algo", "SHA512", stdin=text.encode())


def _write(path: Path, content: bytes, mode: int = 0o644) -> None:
    temporary = path.with_name(f".{path.name}.new")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
