"""What makes a physical copy of a server's data, and lays it down again: one tool for each way.

What a copy becomes on its way, and where it is stored, is nothing to it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from .backed import log_of

_GTID = re.compile(r"GTID of the last change '([^']*)'")

Tell = Callable[[int], None]
"""How many bytes are done."""


class NoCopy(Exception):
    """Why there is none."""


class Tool(Protocol):
    name: str
    """Its program's, which a manifest says."""
    data: str
    """What its copies are called in the store."""
    increments: bool
    """Whether it can copy only what changed since another copy."""
    passes: int
    """How often it goes through all of the data."""

    def begin(self, told: dict[str, Any], size: int, work: Path, tell: Tell) -> None:
        """Whatever has to be there before the copy is read, in the folder ``work``. Raises :class:`NoCopy`."""

    def command(self, told: dict[str, Any], parent: dict[str, Any] | None, work: Path) -> list[str]:
        """Writes the copy to its standard output; with a parent's manifest, only what changed since."""

    def notes(self, work: Path) -> dict[str, Any]:
        """For the manifest: ``gtid``, where in the history the copy ends; ``version``, the server's; its own."""

    def forget(self, told: dict[str, Any], work: Path) -> None:
        """Takes back what a copy that was broken off left there."""

    def unpack(self, into: Path) -> list[str]:
        """Reads a copy from its standard input."""

    def prepare(self, fresh: Path, increment: Path | None, *, last: bool) -> list[str]:
        """Makes what was unpacked into what a server can start on; nothing to do: nothing.

        ``increment``: this one, on what was made of those before; ``last``: no other one follows.
        """


class MariaDbBackup:
    name = "mariadb-backup"
    data = "data.xbstream.zst"
    increments = True
    passes = 1
    _unpacks = "mbstream"

    def begin(self, _told: dict[str, Any], _size: int, _work: Path, _tell: Tell) -> None:
        """Nothing of it touches the disk."""

    def command(self, told: dict[str, Any], parent: dict[str, Any] | None, work: Path) -> list[str]:
        return [
            self.name, f"--defaults-file={told['server']}", "--backup", "--stream=xbstream", "--user=mysql",
            f"--socket={told['socket']}", f"--target-dir={work}/target", f"--extra-lsndir={work}",
            *([f"--incremental-lsn={parent['to_lsn']}"] if parent else []),
        ]  # fmt: skip

    def notes(self, work: Path) -> dict[str, Any]:
        """By its own notes: also where in the redo log the copy begins and ends."""
        points = dict(
            line.split(" = ", 1) for line in _either(work, "checkpoints").read_text().splitlines() if " = " in line
        )
        about = _either(work, "info").read_text()
        found = _GTID.search(about)
        version = re.search(r"^server_version = (.+)$", about, re.MULTILINE)
        return {
            "from_lsn": points["from_lsn"], "to_lsn": points["to_lsn"],
            "gtid": "".join(found[1].split()) if found else "", "version": version[1] if version else "",
        }  # fmt: skip

    def forget(self, _told: dict[str, Any], work: Path) -> None:
        shutil.rmtree(work, ignore_errors=True)

    def unpack(self, into: Path) -> list[str]:
        return [self._unpacks, "-x", "-C", str(into)]

    def prepare(self, fresh: Path, increment: Path | None, *, last: bool) -> list[str]:
        return [self.name, "--prepare", f"--target-dir={fresh}",
                *([f"--incremental-dir={increment}"] if increment else [])]  # fmt: skip


class XtraBackup(MariaDbBackup):
    """Percona's, from which MariaDB's came. Its packages are out of reach where CCX is made: it was never run."""

    name = "xtrabackup"
    _unpacks = "xbstream"

    def prepare(self, fresh: Path, increment: Path | None, *, last: bool) -> list[str]:
        """Rolled back is only on top of the last one: what was not committed in one may be so in the next."""
        first, *rest = super().prepare(fresh, increment, last=last)
        return [first, *rest, *([] if last else ["--apply-log-only"])]


def tool_here(told: dict[str, Any]) -> Tool:
    """With what this node makes copies of the server that it is told of."""
    if told.get("speech", "mariadb") == "mariadb":
        return MariaDbBackup()
    return XtraBackup() if shutil.which(XtraBackup.name) else tool_named("clone")


def tool_named(name: str) -> Tool:
    """The one that made a copy, by its manifest."""
    from .mysql_clone import Clone

    tools: tuple[type[Tool], ...] = (MariaDbBackup, XtraBackup, Clone)
    return next(tool for tool in tools if tool.name == name)()


def tool_of(one: dict[str, Any]) -> Tool:
    """That made a backup, by its manifest; older ones don't say."""
    return tool_named(one.get("tool", MariaDbBackup.name))


def ends_behind(one: dict[str, Any]) -> int:
    """The last transaction that is in a backup, by its manifest."""
    return log_of(one).number(one["gtid"])


def _either(work: Path, what: str) -> Path:
    return next(path for path in (work / f"mariadb_backup_{what}", work / f"xtrabackup_{what}") if path.exists())
