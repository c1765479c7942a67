"""Configuration files: written whole, with owner and mode, and only where the control plane has business."""

from __future__ import annotations

import base64
import fnmatch
import grp
import os
import pwd
from pathlib import Path
from typing import Any

from .durable import replace
from .errors import AgentError
from .verb import Args, Progress, Verb, text

ROOT = Path(os.environ.get("CCX_AGENT_ROOT", "/"))
"""Where paths begin; something else only in tests."""

ALLOWED = ("/etc/ccx/*", "/etc/systemd/system/ccx-*")
"""What may be written; ``*`` spans directories."""


def allowed(path: str) -> Path:
    """The path to write to, when it is one that may be written, through no symbolic link; else :class:`AgentError`."""
    plain = os.path.normpath(path)
    if plain != path or not any(fnmatch.fnmatchcase(path, pattern) for pattern in ALLOWED):
        raise AgentError(f"{path} is not a file that the control plane may write", f"allowed are {', '.join(ALLOWED)}")
    target = ROOT / path.lstrip("/")
    parent = target.parent
    while not parent.exists():
        parent = parent.parent
    if parent.resolve() != parent:
        raise AgentError(f"{path} leads through a symbolic link")
    return target


def owner(args: dict[str, Any]) -> tuple[int, int]:
    """The numeric user and group of ``owner`` and ``group`` (by default the user's own)."""
    name = text(args, "owner", "root")
    try:
        user = pwd.getpwnam(name)
        group = grp.getgrnam(args["group"]).gr_gid if "group" in args else user.pw_gid
    except KeyError as missing:
        raise AgentError(str(missing.args[0]), "the node's image lacks a package") from None
    return user.pw_uid, group


def mode(args: dict[str, Any], default: str) -> int:
    try:
        return int(text(args, "mode", default), 8)
    except ValueError:
        raise AgentError("mode must be octal, such as 0640") from None


def make_directory(path: Path, permissions: int, uid: int, gid: int) -> None:
    """Makes a directory, or corrects the owner and mode of one that is there."""
    path.mkdir(parents=True, exist_ok=True)
    os.chmod(path, permissions)
    if os.geteuid() == 0:
        os.chown(path, uid, gid)


def write_files(args: Args, _progress: Progress) -> dict[str, object]:
    """``files``: ``path``, ``content`` (or ``base64``), ``mode``, ``owner``, ``group``. Answers which ones changed."""
    entries = args.get("files", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise AgentError("argument files must be a list of objects")
    changed = []
    for entry in entries:
        path = text(entry, "path")
        target = allowed(path)
        content = base64.b64decode(entry["base64"]) if "base64" in entry else text(entry, "content").encode()
        permissions, (uid, gid) = mode(entry, "0644"), owner(entry)
        if _same(target, content, permissions, uid, gid):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        replace(target, content, mode=permissions, uid=uid, gid=gid)
        changed.append(path)
    return {"changed": changed}


def _same(target: Path, content: bytes, permissions: int, uid: int, gid: int) -> bool:
    try:
        found = target.stat()
    except FileNotFoundError:
        return False
    mine = os.geteuid() != 0 or (found.st_uid, found.st_gid) == (uid, gid)
    return mine and found.st_mode & 0o7777 == permissions and target.read_bytes() == content


VERBS = {"write-files": Verb(write_files, mutates=True)}
