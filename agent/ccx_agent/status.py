"""How the node is: load, memory, disks, failed units."""

from __future__ import annotations

import os

from .data import MOUNT
from .process import output
from .verb import Args, Progress, Verb


def node_status(_args: Args, _progress: Progress) -> dict[str, object]:
    with open("/proc/meminfo") as file:
        memory = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in file)}
    with open("/proc/uptime") as file:
        uptime = float(file.read().split()[0])
    failed = output(["systemctl", "--failed", "--plain", "--no-legend"], check=False).splitlines()
    data = os.statvfs(MOUNT) if MOUNT.exists() else None
    return {
        "load": list(os.getloadavg()),
        "cpus": os.cpu_count(),
        "memory_total": memory["MemTotal"] * 1024,
        "memory_available": memory["MemAvailable"] * 1024,
        "data_size": data.f_frsize * data.f_blocks if data else 0,
        "data_free": data.f_frsize * data.f_bavail if data else 0,
        "data_mounted": os.path.ismount(MOUNT),
        "uptime": uptime,
        "failed_units": [line.split()[0] for line in failed if line.strip()],
    }


VERBS = {"node-status": Verb(node_status, mutates=False)}
