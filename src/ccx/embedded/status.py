"""What ``ccx status`` shows: the parts, their processes, what they weigh and since when they run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ccx.embedded import processes, record
from ccx.embedded.layout import Layout, remembered
from ccx.errors import NotFound
from ccx.recovery.status import CopyStatus

_UNOPENED = "nothing opens it yet: ccx up --recovery-file FILE makes the recovery copy of its keys"


def look(instance: str) -> dict[str, Any]:
    """The instance as it is now, for programs; ``ready``: all parts are. Raises NotFound when there is no such."""
    layout = remembered(instance)
    if layout is None:
        raise NotFound(
            f"there is no instance {instance!r} on this machine", remedy=f"Start it: ccx up --instance {instance}"
        )
    entry = record.running(layout.run)
    if entry is None:
        return {"instance": instance, "running": False, "ready": False}
    parts = [_part("supervisor", record.PartRecord("ready", entry.pid, since=entry.since))]
    parts += [_part(name, part) for name, part in entry.parts.items()]
    return {
        "instance": instance, "running": True,
        "ready": entry.ready and all(part["state"] == "ready" for part in parts),
        "url": entry.public_url, "network": str(layout.subnet), "parts": parts,
        "memory": sum(part["memory"] for part in parts), "copy": _copy(layout),
    }  # fmt: skip


def table(found: dict[str, Any]) -> str:
    """The same for a terminal."""
    if not found["running"]:
        return f"instance {found['instance']!r} is not running"
    lines = [f"instance {found['instance']!r} at {found['url']}, {found['network']}"]
    lines.append(f"{'part':<14} {'state':<11} {'pid':>7} {'memory':>10} {'restarts':>8}  since")
    for part in found["parts"]:
        moment = datetime.fromisoformat(part["since"]).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        lines.append(
            f"{part['part']:<14} {part['state']:<11} {part['pid'] or '-':>7} {part['memory'] / 2**20:>6.1f} MiB"
            f" {part['restarts']:>8}  {moment}"
        )
    lines.append(f"{'total':<14} {'':<11} {'':>7} {found['memory'] / 2**20:>6.1f} MiB")
    if (copy := found["copy"]) is not None:
        lines.append(f"{'its own copy':<14} {copy['words']}")
        if copy["kept"] and not copy["recovery_file_made"]:
            lines.append(f"{'':<14} {_UNOPENED}")
    return "\n".join(lines)


def _part(name: str, part: record.PartRecord) -> dict[str, Any]:
    return {
        "part": name, "state": part.state, "pid": part.pid,
        "memory": _weight(part.pid, with_children=name == "postgresql"), "restarts": part.restarts,
        "since": _time(part.since),
    }  # fmt: skip


def _copy(layout: Layout) -> dict[str, Any] | None:
    """What is known of the control plane's own copy; None: nothing."""
    if (copy := CopyStatus.load(layout.var)) is None:
        return None
    return {
        "kept": copy.kept, "why_not": copy.why_not, "complete_until": _time(copy.complete), "base_at": _time(copy.base),
        "base_bytes": copy.base_bytes, "generation": copy.generation, "failed": copy.failed, "unheard": copy.unheard,
        "lost": copy.lost, "recovery_file_made": (layout.etc / "recovery.made").exists(), "words": copy.words(),
    }  # fmt: skip


def _time(unix: float | None) -> str | None:
    return None if unix is None else datetime.fromtimestamp(unix, UTC).isoformat()


def _weight(pid: int | None, *, with_children: bool) -> int:
    if pid is None:
        return 0
    return sum(processes.memory(one) for one in (processes.tree(pid) if with_children else [pid]))
