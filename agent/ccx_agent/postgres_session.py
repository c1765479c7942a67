"""A connection to one of PostgreSQL's databases that stays open: a snapshot lasts as long as its transaction."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress

from .errors import AgentError
from .postgres import SOCKET
from .process import output

_YIELDING = 10
"""Of niceness, as much as a backup has."""


class Session:
    """psql as PostgreSQL's user. Each statement has to print exactly one line."""

    def __init__(self, database: str) -> None:
        # By the environment the name is a name; as an argument it could be a whole connection string.
        environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "PGDATABASE": database, "PGHOST": SOCKET}
        self._psql = subprocess.Popen(
            ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            user="postgres",
            group="postgres",
            extra_groups=[],
            cwd="/",
            env=environment,
        )

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self._psql.kill()
        self._psql.wait()
        for pipe in (self._psql.stdin, self._psql.stdout):
            if pipe is not None:
                pipe.close()

    def yields(self) -> None:
        """From now on the server's process for this connection leaves processors and disk to those of others."""
        process = self.ask("select pg_backend_pid();")
        with suppress(ProcessLookupError):  # the connection was ended just now, and says so when it is asked
            os.setpriority(os.PRIO_PROCESS, int(process), _YIELDING)
        output(["ionice", "-c", "idle", "-p", process], check=False)

    def ask(self, statement: str) -> str:
        """The line that the statement prints; :class:`AgentError` when it failed."""
        assert self._psql.stdin is not None
        assert self._psql.stdout is not None
        try:
            self._psql.stdin.write(statement + "\n")
            self._psql.stdin.flush()
            answer = self._psql.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise AgentError("PostgreSQL ended a session")
        return answer.rstrip("\n")
