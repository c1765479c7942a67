"""Backups of a datastore: what an engine must do (``base``), and the tools that do it. pgBackRest does PostgreSQL's."""

from ccx.cmon.backup.base import (
    ArchiveState,
    BacksUp,
    Backup,
    Findings,
    HandsOver,
    Kind,
    NumbersTransactions,
    Origin,
    Proves,
    Repository,
    TellsPosition,
)

__all__ = [
    "ArchiveState", "BacksUp", "Backup", "Findings", "HandsOver", "Kind", "NumbersTransactions", "Origin", "Proves",
    "Repository", "TellsPosition",
]  # fmt: skip
