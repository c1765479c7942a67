"""PostgreSQL's own check of everything that it has: each page's checksum, each row's and each index's structure."""

from __future__ import annotations

from . import task
from .postgres import SOCKET, query
from .postgres_tenants import DATABASES, TABLES
from .verb import Args, Progress, Verb, text

_TASK = "verify"


def verify(args: Args, progress: Progress) -> dict[str, object]:
    """``bin``: where PostgreSQL's programs are. Answers how many databases and tables there are, and bytes of them."""
    command = [
        f"{text(args, 'bin')}/pg_amcheck", "--all", "--install-missing", "--heapallindexed", "--no-password",
        f"--host={SOCKET}", "--username=postgres",
    ]  # fmt: skip
    task.finish(_TASK, ["-p", "User=postgres", *command], progress)
    found = query(DATABASES)
    tables = sum(query(f"{TABLES};", database=entry["name"]) for entry in found)
    return {"databases": len(found), "tables": tables, "bytes": sum(entry["size"] for entry in found)}


VERBS = {"postgres-verify": Verb(verify, mutates=True)}
