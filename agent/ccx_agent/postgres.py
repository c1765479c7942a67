"""PostgreSQL on this node, through its local socket as its own user: no password is needed, none is sent."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from .errors import AgentError
from .process import output
from .verb import Args, Progress, Verb, number, text

SOCKET = "/run/postgresql"


def sql(script: str, values: Mapping[str, str] | None = None, database: str = "postgres") -> str:
    """Runs a psql script and returns what it printed.

    ``values`` reach the script as ``:'name'`` (a literal) and ``:"name"`` (an identifier), quoted by psql itself. They
    travel on standard input.
    """
    settings = "".join(f"\\set {name} {_quoted(value)}\n" for name, value in (values or {}).items())
    command = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", SOCKET, "-d", "postgres", "-f", "-"]
    connect = "" if database == "postgres" else '\\connect :"ccx_database"\n'
    if connect:
        settings += f"\\set ccx_database {_quoted(database)}\n"
    return output(command, stdin=settings + connect + script, user="postgres").strip()


def query(script: str, values: Mapping[str, str] | None = None, database: str = "postgres") -> Any:
    """The JSON that the script's one row holds."""
    printed = sql(script, values, database)
    return json.loads(printed) if printed else None


def _quoted(value: str) -> str:
    """As psql's ``\\set`` reads it back."""
    if "\0" in value:
        raise AgentError("a value holds a zero byte")
    escaped = value.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n").replace("\r", "\\r")
    return f"'{escaped}'"


def wait(args: Args, progress: Progress) -> dict[str, object]:
    """Returns when the server here answers and, with ``role`` ``primary``, accepts writes; within ``limit`` seconds."""
    wanted, deadline = text(args, "role", "any"), time.monotonic() + number(args, "limit", 30)
    seen = "does not answer"
    while time.monotonic() < deadline:
        try:
            seen = {"t": "replica", "f": "primary"}[sql("select pg_is_in_recovery();")]
        except AgentError as error:
            seen = error.err
        if seen == wanted or (wanted == "any" and seen in ("primary", "replica")):
            return {"role": seen}
        progress({"postgres": seen})
        time.sleep(0.2)
    raise AgentError(f"PostgreSQL here is not {wanted}: {seen}")


VERBS = {"postgres-wait": Verb(wait, mutates=False)}
