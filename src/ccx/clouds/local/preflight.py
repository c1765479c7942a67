"""What would keep the local cloud from working on this machine; nothing is changed by looking."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from ipaddress import IPv4Network
from pathlib import Path

from ccx.errors import CcxError, Conflict

_PROGRAMS = {
    "ip": "iproute2", "nft": "nftables", "nsenter": "util-linux", "unshare": "util-linux", "sysctl": "procps",
    "systemd-nspawn": "systemd-container", "dnsmasq": "dnsmasq-base", "mkfs.ext4": "e2fsprogs",
}  # fmt: skip
_LEAST_FREE = 3 << 30


def preflight(subnet: IPv4Network | None = None, instance: str = "") -> list[CcxError]:
    """Everything that is in the way, each with its remedy; empty when nothing is.

    ``subnet`` must not overlap a route of this machine, other than the instance's own.
    """
    found = problems()
    if subnet is not None and not any(error.status == 403 for error in found):
        found += _collisions(subnet, instance)
    return found


def problems() -> list[CcxError]:
    """What is in the way whatever the network."""
    if os.geteuid() != 0:
        return [CcxError("the local cloud makes namespaces and mounts and must be root", remedy="Use sudo", status=403)]
    found = []
    for program, package in _PROGRAMS.items():
        if shutil.which(program, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin") is None:
            found.append(CcxError(f"{program} is not installed", remedy=f"apt-get install {package}"))
    for namespace in ("net", "mnt", "pid", "uts", "ipc"):
        if not Path(f"/proc/self/ns/{namespace}").exists():
            found.append(
                CcxError(f"this kernel has no {namespace} namespaces", remedy="Use Debian's or Ubuntu's kernel")
            )
    known = Path("/proc/filesystems").read_text().split()
    for file_system in ("overlay", "cgroup2"):
        if file_system not in known and subprocess.run(["modprobe", "-n", file_system], capture_output=True).returncode:
            found.append(CcxError(f"this kernel has no {file_system}", remedy="Use Debian's or Ubuntu's kernel"))
    if not Path("/dev/loop-control").exists():
        found.append(CcxError("this machine has no loop devices", remedy="modprobe loop"))
    if (free := shutil.disk_usage(_existing(Path("/var/lib/ccx"))).free) < _LEAST_FREE:
        text = f"{free / (1 << 30):.1f} GiB are free under /var/lib, {_LEAST_FREE >> 30} are needed"
        found.append(CcxError(text, remedy="Free some disk"))
    return found


def _collisions(subnet: IPv4Network, instance: str) -> list[CcxError]:
    from ccx.clouds.local.place import Place

    own = Place(instance, subnet).host_link if instance else ""
    listed = subprocess.run(
        ["ip", "-j", "-4", "route", "show", "table", "all"], capture_output=True, text=True, check=True
    )
    for route in json.loads(listed.stdout or "[]"):
        if (to := route.get("dst", "default")) == "default" or route.get("dev") == own:
            continue
        if IPv4Network(to, strict=False).overlaps(subnet):
            where = f"a route of {route.get('dev', 'this machine')}"
            return [
                Conflict(f"{subnet} overlaps {to}, {where}", field="subnet", remedy="Give another one with --subnet")
            ]
    return []


def _existing(folder: Path) -> Path:
    return folder if folder.exists() else _existing(folder.parent)
