"""What would keep the local cloud from working on this machine; nothing is changed by looking."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from ipaddress import IPv4Network
from pathlib import Path

from ccx.clouds.local.place import Place
from ccx.clouds.local.shell import SEARCH_PATH
from ccx.errors import CcxError, Conflict

_PROGRAMS = {
    "ip": "iproute2", "nft": "nftables", "nsenter": "util-linux", "unshare": "util-linux", "sysctl": "procps",
    "systemd-nspawn": "systemd-container", "dnsmasq": "dnsmasq-base", "mkfs.ext4": "e2fsprogs",
}  # fmt: skip
_LEAST_FREE = 3 << 30


def preflight(place: Place) -> list[CcxError]:
    """Everything that is in the way of an instance, each with its remedy; empty when nothing is.

    Its network must not overlap a route of this machine, other than its own.
    """
    return problems() or _collisions(place)


def problems() -> list[CcxError]:
    """What is in the way whatever the network."""
    if os.geteuid() != 0:
        return [CcxError("the local cloud makes namespaces and mounts and must be root", remedy="Use sudo", status=403)]
    found = []
    for program, package in _PROGRAMS.items():
        if shutil.which(program, path=SEARCH_PATH) is None:
            found.append(CcxError(f"{program} is not installed", remedy=f"apt-get install {package}"))
    for namespace in ("net", "mnt", "pid", "uts", "ipc"):
        if not Path(f"/proc/self/ns/{namespace}").exists():
            found.append(
                CcxError(f"this kernel has no {namespace} namespaces", remedy="Use Debian's or Ubuntu's kernel")
            )
    for file_system in ("overlay", "cgroup2"):
        if not _kernel_has(file_system):
            found.append(CcxError(f"this kernel has no {file_system}", remedy="Use Debian's or Ubuntu's kernel"))
    if not Path("/dev/loop-control").exists():
        found.append(CcxError("this machine has no loop devices", remedy="modprobe loop"))
    if (free := shutil.disk_usage(_existing(Path("/var/lib/ccx"))).free) < _LEAST_FREE:
        text = f"{free / (1 << 30):.1f} GiB are free under /var/lib, {_LEAST_FREE >> 30} are needed"
        found.append(CcxError(text, remedy="Free some disk"))
    return found


def _collisions(place: Place) -> list[CcxError]:
    listed = subprocess.run(
        ["ip", "-j", "-4", "route", "show", "table", "all"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PATH": SEARCH_PATH},
    )
    own = (place.host_link, place.outside_link)
    for route in json.loads(listed.stdout or "[]"):
        if (to := route.get("dst", "default")) == "default" or route.get("dev") in own:
            continue
        if IPv4Network(to, strict=False).overlaps(place.subnet):
            where = f"a route of {route.get('dev', 'this machine')}"
            return [
                Conflict(
                    f"{place.subnet} overlaps {to}, {where}", field="subnet", remedy="Give another one with --subnet"
                )
            ]
    return []


def _kernel_has(file_system: str) -> bool:
    """Built in, loaded, or there to be loaded at the first mount."""
    if file_system in Path("/proc/filesystems").read_text().split():
        return True
    modprobe = shutil.which("modprobe", path=SEARCH_PATH)
    return modprobe is not None and subprocess.run([modprobe, "-qn", file_system], check=False).returncode == 0


def _existing(folder: Path) -> Path:
    return folder if folder.exists() else _existing(folder.parent)
