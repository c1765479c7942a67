"""rclone's configuration on a node: an object store, and within it a datastore's own part, encrypted on the node."""

from __future__ import annotations

import base64
import hashlib
import hmac

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from ccx.cmon.backup.base import Repository

_PUBLIC_KEY = bytes.fromhex("9c935b48730a554d6bfd7c63c886a92bd390198eb8128afbf4de162b8b95f638")
"""The one that all rclones have: it keeps passwords from being read over a shoulder, and from nobody else."""


def configuration(repository: Repository) -> str:
    """The text of ``rclone.conf``: the remote ``store`` is the datastore's own part. Keys and cipher are in it."""
    at = repository.location
    raw = {
        "type": "s3",
        "provider": "AWS" if at.aws else "Other",
        "access_key_id": repository.credentials.access_key,
        "secret_access_key": repository.credentials.secret_key,
        "region": at.region,
        "endpoint": at.endpoint,
        "force_path_style": str(at.style == "path").lower(),
        "no_check_bucket": "true",
        "upload_concurrency": 4,
        "chunk_size": "16M",
    }
    folder = repository.prefix.strip("/")
    own = {
        "type": "crypt",
        "remote": f"raw:{at.bucket}/{folder}",
        "filename_encryption": "off",
        "directory_name_encryption": "false",
        "password": obscured(repository.cipher),
        "password2": obscured(hashlib.sha256(b"ccx salt " + repository.cipher.encode()).hexdigest()),
    }
    lines = ["[raw]", *(f"{k} = {v}" for k, v in raw.items() if v != ""), "", "[store]"]
    return "\n".join([*lines, *(f"{k} = {v}" for k, v in own.items()), ""])


def obscured(password: str) -> str:
    """As rclone's configuration has passwords. The same text each time, so that an unchanged file stays unchanged."""
    start = hmac.new(_PUBLIC_KEY, password.encode(), hashlib.sha256).digest()[:16]
    encryptor = Cipher(algorithms.AES(_PUBLIC_KEY), modes.CTR(start)).encryptor()
    hidden = encryptor.update(password.encode()) + encryptor.finalize()
    return base64.urlsafe_b64encode(start + hidden).rstrip(b"=").decode()
