"""What a control plane costs that nobody asks anything: memory and processor time of all its parts, after ``ccx up``.

``python benchmarks/idle.py [--seconds 60] [--json FILE]``, as root. Memory is the proportional set size: pages that
processes share count once.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import report
from installation import installed
from tests.e2e.machine import Installed

from ccx.embedded import processes

SETTLED_AFTER_S = 10
TARGET_MIB, TARGET_PERCENT = 300, 3.0


def parts(running: Installed) -> dict[str, list[int]]:
    """Processes of each part, its children included."""
    record = running.record()
    roots = {"supervisor": record.pid, **{name: part.pid for name, part in record.parts.items() if part.pid}}
    children: dict[int, list[int]] = {}
    dns = []
    for pid in processes.all_pids():
        try:
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if command[0].endswith(b"dnsmasq") and any(str(running.layout.run).encode() in word for word in command):
            dns.append(pid)
        children.setdefault(parent, []).append(pid)
    others = {*roots.values(), *dns}

    def tree(pid: int) -> list[int]:
        return [pid, *(p for child in children.get(pid, []) if child not in others for p in tree(child))]

    return {**{name: tree(pid) for name, pid in roots.items()}, "dnsmasq": dns}


async def measure(seconds: int) -> dict[str, dict[str, float]]:
    """By part: processes, MiB, and percent of one core."""
    async with installed("idle") as running:
        await asyncio.sleep(SETTLED_AFTER_S)
        found = parts(running)
        before, began = {p: processes.cpu_seconds(p) for pids in found.values() for p in pids}, time.monotonic()
        await asyncio.sleep(seconds)
        took = time.monotonic() - began
        return {
            name: {
                "processes": len(pids),
                "mib": sum(processes.memory(pid) for pid in pids) / 2**20,
                "percent": sum(processes.cpu_seconds(pid) - before[pid] for pid in pids) / took * 100,
            }
            for name, pids in found.items()
        }


def main() -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="how long to look (default: %(default)s)")
    given = parser.parse_args()
    about = report.machine()
    measured = asyncio.run(measure(given.seconds))
    total = {key: sum(part[key] for part in measured.values()) for key in ("processes", "mib", "percent")}
    rows = [[name, int(f["processes"]), f["mib"], f["percent"]] for name, f in {**measured, "all": total}.items()]
    print(report.table([f"idle for {given.seconds} s", "processes", "MiB", "% of a core"], rows))
    print(f"to reach: under {TARGET_MIB} MiB, under {TARGET_PERCENT:g} % of a core")
    report.write(given.json, about, parts=measured, total=total)


if __name__ == "__main__":
    main()
