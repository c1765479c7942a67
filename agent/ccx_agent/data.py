"""The data volume: found, given a file system once, mounted, with the directories that services own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from .errors import AgentError
from .files import make_directory, mode, owner
from .process import output
from .task import finish
from .verb import Args, Progress, Verb, text

MOUNT = Path(os.environ.get("CCX_AGENT_DATA", "/var/lib/ccx-data"))
LABEL = "ccx-data"
MOUNT_UNIT = "var-lib-ccx\\x2ddata.mount"


def prepare_data(args: Args, progress: Progress) -> dict[str, object]:
    """Mounts the volume at its place and makes ``directories`` in it (``path`` below it, ``owner``, ``mode``).

    A volume that carries our label is mounted as it is, never formatted again. ``device`` names the attached device
    where the cloud knows it; else the one empty disk is taken, and more than one is refused.
    """
    device = ""
    if not os.path.ismount(MOUNT):
        device = _labelled() or _format(args.get("device") or _empty_disk(), progress)
        _mount(device)
    for entry in args.get("directories", []):
        _directory(entry)
    room = os.statvfs(MOUNT)
    return {"device": device, "size": room.f_frsize * room.f_blocks, "free": room.f_frsize * room.f_bavail}


def _directory(entry: dict[str, Any]) -> None:
    path = text(entry, "path")
    target = MOUNT / path
    if path.startswith("/") or not target.resolve().is_relative_to(MOUNT.resolve()):
        raise AgentError(f"{path} is not below the data volume")
    uid, gid = owner(entry)
    make_directory(target, mode(entry, "0700"), uid, gid)


def _disks() -> list[dict[str, Any]]:
    listed = output(["lsblk", "--json", "--output", "PATH,TYPE,FSTYPE,LABEL,RO"])
    disks: list[dict[str, Any]] = json.loads(listed)["blockdevices"]
    return disks


def _labelled() -> str:
    path = Path("/dev/disk/by-label") / LABEL
    return str(path.resolve()) if path.exists() else ""


def pick_empty(disks: list[dict[str, Any]]) -> str:
    """The one whole disk with neither file system nor partitions."""
    empty = [
        disk["path"]
        for disk in disks
        if disk["type"] == "disk" and not disk["ro"] and not disk["fstype"] and not disk.get("children")
    ]
    if len(empty) != 1:
        found = ", ".join(empty) or "none"
        raise AgentError(f"the data volume can't be told from other disks: empty ones are {found}", "attach one volume")
    return str(empty[0])


def _empty_disk() -> str:
    return pick_empty(_disks())


def _format(device: str, progress: Progress) -> str:
    used = next((disk for disk in _disks() if disk["path"] == device), None)
    if used is None or used["fstype"] or used.get("children"):
        raise AgentError(f"{device} is absent or holds data already", "it is never formatted over")
    finish("mkfs", ["mkfs.ext4", "-q", "-L", LABEL, "-m", "1", device], progress)
    return device


def _mount(device: str) -> None:
    MOUNT.mkdir(mode=0o755, parents=True, exist_ok=True)
    unit = Path("/etc/systemd/system") / MOUNT_UNIT
    unit.write_text(
        f"[Unit]\nDescription=CCX data volume\n[Mount]\nWhat=/dev/disk/by-label/{LABEL}\nWhere={MOUNT}\n"
        "Type=ext4\nOptions=noatime\n[Install]\nWantedBy=multi-user.target\n"
    )
    output(["systemctl", "daemon-reload"])
    output(["systemctl", "enable", MOUNT_UNIT])
    output(["mount", "-o", "noatime", device, str(MOUNT)])


VERBS = {"prepare-data": Verb(prepare_data, mutates=True)}
