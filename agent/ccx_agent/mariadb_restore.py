"""Makes a server's data out of a backup in the store, and of the log behind it. Called before the server starts.

The full backup is fetched, decrypted and unpacked, then prepared with each incremental one; then a server that nobody
can reach replays the log up to the transaction or time that was asked for, and states in the history where that is.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_STARTS_S, _ENDS_S = 120.0, 600.0
_SAID = 500
_PACKET = "1G"

Tell = Callable[[str, int], None]
"""What is being done, and how many bytes of it are."""


class NoRestore(Exception):
    """Why it can't be restored."""


def restore(told: dict[str, Any], fresh: Path, tell: Tell) -> str:
    """Fills ``fresh``, which is not there yet; the last transaction that is there then.

    ``told``: the store, ``logs`` (which names follow each other in it), ``backup``, and how far: ``to`` (seconds since
    1970), ``through`` or ``before`` (a transaction), ``at_once``, or none of them: as far as the log goes.
    """
    from ccx_agent.mariadb_copy import manifests
    from ccx_agent.mariadb_store import Store

    store = Store(told)
    known = {one["id"]: one for one in manifests(store, {"archive": told["logs"][0]})}
    chain = _chain(known, told["backup"])
    _check_version(chain[-1], told["mariadbd"])
    _unpack_all(store, told, chain, fresh, tell)
    after, domain = chain[-1]["gtid"], chain[-1].get("domain")
    with _Server(told, fresh) as server:
        last = after if told.get("at_once") else _replay(store, told, after, domain, server, tell)
        server.state(last)
    return last


def _chain(known: dict[str, dict[str, Any]], label: str) -> list[dict[str, Any]]:
    """From the full backup on."""
    found: list[dict[str, Any]] = []
    following: str | None = label
    while following is not None:
        if following not in known:
            raise NoRestore(f"the store has no backup {following}")
        found.insert(0, known[following])
        following = known[following]["parent"]
    return found


def _check_version(one: dict[str, Any], server: str) -> None:
    """An older server does not read a newer one's files."""
    here = _run([server, "--version"], "asking the server's version")
    made, own = _version(one.get("version", "")), _version(here)
    if made > own:
        raise NoRestore(
            f"the backup {one['id']} was made by version {'.'.join(map(str, made))}, and the server here is older:"
            f" {'.'.join(map(str, own))}"
        )


def _version(words: str) -> tuple[int, ...]:
    """``11.8.9-MariaDB-log`` -> (11, 8, 9), wherever it stands; empty where there is none."""
    found = re.search(r"\b(\d+)\.(\d+)\.(\d+)\b", words)
    return tuple(map(int, found.groups())) if found else ()


def _unpack_all(store: Any, told: dict[str, Any], chain: list[dict[str, Any]], fresh: Path, tell: Tell) -> None:
    done = 0
    for one in chain:
        into = fresh if one is chain[0] else fresh.with_name(fresh.name + ".increment")
        shutil.rmtree(into, ignore_errors=True)
        into.mkdir(mode=0o700)
        done = _unpack(store, told, one, into, done, tell)
        increment = [] if into == fresh else [f"--incremental-dir={into}"]
        _run(["mariadb-backup", "--prepare", f"--target-dir={fresh}", *increment], f"preparing {one['id']}")
        if increment:
            shutil.rmtree(into)


def _unpack(store: Any, told: dict[str, Any], one: dict[str, Any], into: Path, done: int, tell: Tell) -> int:
    from ccx_agent.mariadb_copy import DATA
    from ccx_agent.mariadb_store import Damaged, finish

    digest, at = hashlib.sha256(), 0.0
    download = store.download(f"backup/{told['logs'][0]}/{one['id']}/{DATA}")
    opening = subprocess.Popen(["zstd", "-q", "-d", "-c"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/")
    unpacking = subprocess.Popen(["mbstream", "-x", "-C", str(into)], stdin=opening.stdout, cwd="/")
    assert download.stdout is not None
    assert opening.stdin is not None
    assert opening.stdout is not None
    opening.stdout.close()
    try:
        while piece := download.stdout.read(1 << 20):
            digest.update(piece)
            done += len(piece)
            opening.stdin.write(piece)
            if time.monotonic() - at > 1:
                at = time.monotonic()
                tell("copying the backup", done)
        opening.stdin.close()
    except BrokenPipeError:
        download.kill()
        download.wait()
        raise NoRestore(f"the backup {one['id']} can't be unpacked") from None
    try:
        finish(download)
    except Damaged:
        raise NoRestore(f"the backup {one['id']} is damaged: its data can't be decrypted") from None
    if digest.hexdigest() != one["sha256"]:
        raise NoRestore(f"the backup {one['id']} is damaged: its data has another checksum than when it was written")
    if opening.wait() or unpacking.wait():
        raise NoRestore(f"the backup {one['id']} can't be unpacked")
    return done


def _replay(store: Any, told: dict[str, Any], after: str, domain: int | None, server: _Server, tell: Tell) -> str:
    from ccx_agent.mariadb_log import gap, number, parse, route, transactions
    from ccx_agent.mariadb_ship import plain

    parts = [
        part for branch, name in enumerate(told["logs"]) for key in store.names(f"archive/{name}")
        if (part := parse(plain(key), branch)) is not None
    ]  # fmt: skip
    goal, before = _goal(told, domain), told.get("before", "")
    deadline = int(told["to"]) if told.get("to") is not None else None
    begin, last, done = number(after, domain), after, 0
    if before and number(before, domain) <= begin:
        raise NoRestore(f"the backup ends with {after}: what was before {before} begins with an older one")
    log = Path(told["work"]) / "replayed"
    for piece in route(parts, begin, goal):
        _fetch(store, told, piece.part, log)
        first, stop = None, None
        for one in transactions(log, domain):
            if one.number <= piece.after:
                continue
            if before and one.number == number(before, domain):
                _check_same(one.gtid, before)
                stop = one.offset
                break
            if one.number > piece.to or (deadline is not None and one.time >= deadline):
                stop = one.offset
                break
            first = one.offset if first is None else first
            last = one.gtid
        if first is not None:
            tell(f"replaying the log: {last}", done)
            server.replay(log, first, stop)
            done += log.stat().st_size
        log.unlink()
        if stop is not None and number(last, domain) < piece.to and (before or deadline is not None):
            return last
    if goal is not None and number(last, domain) < goal:
        raise NoRestore(f"the log ends at {last}, before transaction {before or goal}")
    if goal is None and gap(parts, begin):
        raise NoRestore(f"the log has a gap behind {last}")
    return last


def _goal(told: dict[str, Any], domain: int | None) -> int | None:
    from ccx_agent.mariadb_log import number

    wanted = told.get("through") or told.get("before")
    return number(wanted, domain) if wanted else None


def _check_same(found: str, wanted: str) -> None:
    """The history has one transaction of each number, and who names one by mistake gets another moment."""
    if found != wanted:
        raise NoRestore(f"there is no transaction {wanted}: that number is {found}")


def _fetch(store: Any, told: dict[str, Any], part: Any, into: Path) -> None:
    from ccx_agent.mariadb_store import Damaged, finish

    digest = hashlib.sha256()
    download = store.download(f"archive/{told['logs'][part.branch]}/{part.name}")
    with into.open("wb") as log:
        opening = subprocess.Popen(["zstd", "-q", "-d", "-c"], stdin=download.stdout, stdout=subprocess.PIPE, cwd="/")
        assert opening.stdout is not None
        assert download.stdout is not None
        download.stdout.close()
        while piece := opening.stdout.read(1 << 20):
            digest.update(piece)
            log.write(piece)
    broken = opening.wait()
    try:
        finish(download)
    except Damaged:
        broken = 1
    if broken or digest.hexdigest()[:40] != part.digest:
        raise NoRestore(f"a part of the log is damaged: {part.name}")


class _Server:
    """A server on the data, which nobody but us reaches."""

    def __init__(self, told: dict[str, Any], data: Path) -> None:
        self._told = told
        self._socket = f"{told['run']}/restore.sock"
        self._said = Path(told["work"]) / "restore.log"
        self._command = [
            told["mariadbd"], f"--defaults-file={told['server']}", f"--datadir={data}", f"--socket={self._socket}",
            f"--pid-file={told['run']}/restore.pid", "--skip-networking", "--read-only=0", "--skip-slave-start",
            "--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0", f"--max-allowed-packet={_PACKET}",
            # A member's configuration would have it look for its group.
            "--loose-wsrep-on=OFF", "--loose-wsrep-provider=none",
        ]  # fmt: skip

    def __enter__(self) -> _Server:
        from ccx_agent.mysql_seed import clear
        from ccx_agent.mysql_wire import ServerRefused, ServerSilent

        clear(Path(self._told["binlogs"]))
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(self._command, stdout=said, stderr=said, cwd="/")
        deadline = time.monotonic() + _STARTS_S
        while True:
            try:
                self._ask(["select 1 as n"])
                return self
            except (ServerSilent, ServerRefused):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self._end()
                    words = self._said.read_text(errors="replace")[-_SAID:]
                    raise NoRestore(f"the restored server does not start: {words}") from None
                time.sleep(0.1)

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        if self._end() < 0 and failed is None:
            # It writes to the disk at its end what it did last.
            raise NoRestore("the restored server was ended by force, and may lack what was replayed last")

    def _end(self) -> int:
        """Its exit code."""
        self._process.terminate()
        try:
            return self._process.wait(_ENDS_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def replay(self, log: Path, first: int, stop: int | None) -> None:
        """From one place of the file to another. Positions, not transactions: so nothing is left to be understood."""
        read = ["mariadb-binlog", "--no-defaults", f"--start-position={first}"]
        reading = subprocess.Popen(
            [*read, *([f"--stop-position={stop}"] if stop is not None else []), str(log)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/",
        )  # fmt: skip
        done = subprocess.run(
            ["mariadb", "--no-defaults", f"--socket={self._socket}", "--user=mysql", "--binary-mode",
             f"--max-allowed-packet={_PACKET}", "--init-command=set session sql_log_bin = 0"],
            stdin=reading.stdout, capture_output=True, check=False, cwd="/",
        )  # fmt: skip
        assert reading.stdout is not None
        assert reading.stderr is not None
        reading.stdout.close()
        said = reading.stderr.read()
        if done.returncode or reading.wait():
            words = (done.stderr or said).decode(errors="replace").strip()[-_SAID:]
            raise NoRestore(f"the log can't be replayed: {words}")

    def state(self, gtid: str) -> None:
        """Says in the history where it is, so that it goes on from there; forgets the other cluster's replicas."""
        from ccx_agent.mysql_wire import quoted

        who = quoted(self._told["replication_user"])
        statements = ["set session sql_log_bin = 0", f"drop user if exists {who}@'%'"]
        if gtid:
            where = quoted(gtid)
            statements += ["reset master", f"set global gtid_binlog_state = {where}",
                           f"set global gtid_slave_pos = {where}"]  # fmt: skip
        self._ask(statements)

    def _ask(self, statements: list[str]) -> None:
        from ccx_agent.mysql_wire import Connection

        with Connection(self._socket, "mysql", _STARTS_S) as connection:
            for statement in statements:
                connection.query(statement, _STARTS_S)


def _run(command: list[str], what: str) -> str:
    """What the program printed."""
    done = subprocess.run(command, capture_output=True, check=False, cwd="/")
    if done.returncode:
        raise NoRestore(f"{what} failed: {done.stderr.decode(errors='replace').strip()[-_SAID:]}")
    return done.stdout.decode(errors="replace")


def main(path: str, fresh: str) -> int:
    """For a try by hand: restores into the folder ``fresh``."""
    told = json.loads(Path(path).read_text())
    print(restore(told, Path(fresh), lambda what, done: print(what, done, flush=True)))
    return 0


if __name__ == "__main__":
    import sys

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    sys.exit(main(*sys.argv[1:]))
