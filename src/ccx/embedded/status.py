"""What ``ccx status`` shows: the parts, their processes, what they weigh and since when they run."""

from __future__ import annotations

import time

from ccx.embedded import processes, record
from ccx.embedded.layout import remembered
from ccx.errors import NotFound
from ccx.recovery.status import CopyStatus


def table(instance: str) -> tuple[str, bool]:
    """Text for a terminal, and whether all parts are ready. Raises NotFound when there is no such instance."""
    layout = remembered(instance)
    if layout is None:
        raise NotFound(
            f"there is no instance {instance!r} on this machine", remedy=f"Start it: ccx up --instance {instance}"
        )
    entry = record.running(layout.run)
    if entry is None:
        return f"instance {instance!r} is not running", False
    lines = [f"instance {instance!r} at {entry.public_url}, {layout.subnet}"]
    lines.append(f"{'part':<14} {'state':<11} {'pid':>7} {'memory':>10} {'restarts':>8}  since")
    rows: list[tuple[str, str, int | None, int, float]] = [("supervisor", "ready", entry.pid, 0, entry.since)]
    rows += [(name, part.state, part.pid, part.restarts, part.since) for name, part in entry.parts.items()]
    total = 0
    for name, state, pid, restarts, since in rows:
        weight = _weight(pid, with_children=name == "postgresql")
        total += weight
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(since))
        lines.append(f"{name:<14} {state:<11} {pid or '-':>7} {weight / 2**20:>6.1f} MiB {restarts:>8}  {moment}")
    lines.append(f"{'total':<14} {'':<11} {'':>7} {total / 2**20:>6.1f} MiB")
    if (copy := CopyStatus.load(layout.var)) is not None:
        lines.append(f"{'its own copy':<14} {copy.words()}")
        if copy.kept and not (layout.etc / "recovery.made").exists():
            lines.append(
                f"{'':<14} nothing opens it yet: ccx up --recovery-file FILE makes the recovery copy of its keys"
            )
    return "\n".join(lines), entry.ready and all(part.state == "ready" for part in entry.parts.values())


def _weight(pid: int | None, *, with_children: bool) -> int:
    if pid is None:
        return 0
    return sum(processes.memory(one) for one in (processes.tree(pid) if with_children else [pid]))
