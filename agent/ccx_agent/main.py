"""Reads the request, checks protocol and token, runs the verb, and answers."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn, TextIO

from . import PROTOCOLS
from .errors import AgentError
from .token import claimed
from .verb import Verb

# Which module holds a verb. Modules are imported when asked for: starting Python is most of what a verb costs.
MODULES = {
    "hello": "hello",
    "sequence": "sequence",
    "prepare-data": "data",
    "write-files": "files",
    "packages": "packages",
    "services": "services",
    "services-state": "services",
    "reachable": "reach",
    "probe": "probe",
    "egress-observed": "egress",
    "node-status": "status",
    "galera-bootstrap": "galera",
    "galera-reads": "galera",
    "task-check": "task",
    "task-clean": "task",
    "backup-enable": "backup",
    "backup-configure": "backup",
    "backup-start": "backup",
    "backup-state": "backup",
    "backup-note": "backup",
    "backup-serve": "backup",
    "backup-clear": "backup",
    "backups": "backup",
    "backup-expire": "backup",
    "backup-mark": "backup",
    "backup-marked": "backup",
    "archive-state": "backup",
    "log-position": "backup",
    "backup-verify-start": "backup_verify",
    "backup-verify-state": "backup_verify",
    "backup-verify-clear": "backup_verify",
    "restore-state": "restore",
    "etcd-ready": "etcd",
    "etcd-status": "etcd",
    "postgres-wait": "postgres",
    "postgres-verify": "postgres_verify",
    "postgres-count": "postgres_count",
    "postgres-recount": "postgres_count",
    "postgres-users": "postgres_tenants",
    "postgres-user-put": "postgres_tenants",
    "postgres-user-drop": "postgres_tenants",
    "postgres-databases": "postgres_tenants",
    "postgres-database-put": "postgres_tenants",
    "postgres-database-drop": "postgres_tenants",
    "mariadb-backup-configure": "mariadb_backup",
    "mariadb-ship": "mariadb_backup",
    "mariadb-ship-rest": "mariadb_backup",
    "mariadb-backup-start": "mariadb_backup",
    "mariadb-backup-state": "mariadb_backup",
    "mariadb-backup-clear": "mariadb_backup",
    "mariadb-backups": "mariadb_backup",
    "mariadb-backup-expire": "mariadb_backup",
    "mariadb-archive-mark": "mariadb_backup",
    "mariadb-archive-marked": "mariadb_backup",
    "mariadb-archive-state": "mariadb_backup",
    "mariadb-log-position": "mariadb_backup",
    "mariadb-log-transaction": "mariadb_backup",
    "mariadb-verify-start": "mariadb_backup",
    "mariadb-verify-state": "mariadb_backup",
    "mariadb-verify-clear": "mariadb_backup",
    "mariadb-restore-state": "mariadb_backup",
    "mariadb-verify": "mariadb_check",
    "mariadb-count": "mariadb_check",
    "mariadb-recount": "mariadb_check",
    "mariadb-users": "mariadb_tenants",
    "mariadb-user-put": "mariadb_tenants",
    "mariadb-user-drop": "mariadb_tenants",
    "mariadb-databases": "mariadb_tenants",
    "mariadb-database-put": "mariadb_tenants",
    "mariadb-database-drop": "mariadb_tenants",
    "percona-verify": "percona_check",
    "percona-count": "percona_check",
    "percona-recount": "percona_check",
    "percona-users": "percona_tenants",
    "percona-user-put": "percona_tenants",
    "percona-user-drop": "percona_tenants",
    "percona-databases": "percona_tenants",
    "percona-database-put": "percona_tenants",
    "percona-database-drop": "percona_tenants",
}


def find(name: str) -> Verb:
    module = MODULES.get(name)
    if module is None:
        raise AgentError(f"there is no verb {name!r}", "install the agent's current version")
    verb: Verb = import_module(f".{module}", __package__).VERBS[name]
    return verb


def _request(raw: str) -> dict[str, Any]:
    try:
        request = json.loads(raw or "{}")
    except ValueError:
        raise AgentError("the request is no JSON") from None
    if not isinstance(request, dict) or not isinstance(request.get("args", {}), dict):
        raise AgentError("the request is no JSON object with args")
    return request


def _check_protocol(request: dict[str, Any]) -> None:
    spoken = request.get("protocol", PROTOCOLS[0])
    if spoken not in PROTOCOLS:
        known = ", ".join(map(str, PROTOCOLS))
        raise AgentError(f"protocol {spoken} is not among those this agent speaks ({known})", "upgrade the older side")


def _arm(request: dict[str, Any]) -> None:
    """Ends the verb when the caller no longer waits for it, so that nothing is left running behind its back."""
    limit = request.get("timeout")
    if isinstance(limit, (int, float)) and limit > 0:

        def expired(*_: object) -> NoReturn:
            raise AgentError(f"not finished after {limit:g} s")

        signal.signal(signal.SIGALRM, expired)
        signal.setitimer(signal.ITIMER_REAL, float(limit))


def run(name: str, request: dict[str, Any], out: TextIO) -> dict[str, Any]:
    """Runs one verb; raises :class:`AgentError`."""

    def progress(line: dict[str, Any]) -> None:
        print(json.dumps(line), file=out, flush=True)

    _check_protocol(request)
    verb = find(name)
    args = request.get("args", {})
    if not verb.mutates:
        return verb.run(args, progress)
    with claimed(request.get("token"), lane=verb.lane):
        return verb.run(args, progress)


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns 0 with a result, 1 with an error."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if len(arguments) != 1:
            raise AgentError("usage: ccx-agent VERB, with the request as JSON on standard input")
        request = _request("" if sys.stdin.isatty() else sys.stdin.read())
        _arm(request)
        answer: dict[str, Any] = {"result": run(arguments[0], request, sys.stdout)}
        code = 0
    except AgentError as error:
        answer, code = {"error": {"err": error.err, "remedy": error.remedy}}, 1
    except OSError as error:
        answer, code = {"error": {"err": str(error), "remedy": ""}}, 1
    except Exception as error:
        # The type only: a message could hold an argument, and arguments hold secrets.
        answer, code = {"error": {"err": f"the agent failed: {type(error).__name__}", "remedy": "report this"}}, 1
    print(json.dumps(answer), flush=True)
    return code
