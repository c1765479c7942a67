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
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .backed import Log
    from .binlog import Transaction

_STARTS_S, _ENDS_S = 120.0, 600.0
_TELL_EVERY_S = 1.0
_SAID = 500

Tell = Callable[[str, int], None]
"""What is being done, and how many bytes of it are."""


class NoRestore(Exception):
    """Why it can't be restored."""


def restore(told: dict[str, Any], fresh: Path, tell: Tell) -> str:
    """Fills ``fresh``, which is not there yet; the last transaction that is there then.

    ``told``: the store, ``logs`` (which names follow each other in it), ``backup``, and how far: ``to`` (seconds since
    1970), ``through`` or ``before`` (a transaction), ``at_once``, or none of them: as far as the log goes.
    """
    from ccx_agent.backed import log_of
    from ccx_agent.mariadb_copy import manifests
    from ccx_agent.mariadb_store import Store

    store = Store(told)
    known = {one["id"]: one for one in manifests(store, {"archive": told["logs"][0]})}
    chain = _chain(known, told["backup"])
    _check_version(chain[-1], told["mariadbd"])
    copied = _unpack_all(store, told, chain, fresh, tell)
    # The log is read as it was written, whatever is told of this node's.
    after, log = chain[-1]["gtid"], log_of(chain[-1])

    def replaying(what: str, done: int) -> None:
        # Counted from nothing again, it would seem to stand still, and who waits would give it up.
        tell(what, copied + done)

    with _Server(told, fresh) as server:
        server.agree(after)
        last = after if told.get("at_once") else _replay(store, told, after, log, server, replaying)
        server.settle(last)
    return last


def _chain(known: dict[str, dict[str, Any]], label: str) -> list[dict[str, Any]]:
    """From the full backup on."""
    found: list[dict[str, Any]] = []
    following: str | None = label
    while following is not None:
        if following not in known:
            raise NoRestore(f"the store has no backup {following}")
        if "damaged" in known[following]:
            raise NoRestore(f"the backup {following} is damaged: {known[following]['damaged']}")
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


def _unpack_all(store: Any, told: dict[str, Any], chain: list[dict[str, Any]], fresh: Path, tell: Tell) -> int:
    """How many bytes that were."""
    from ccx_agent.copying import tool_of

    done = 0
    for one in chain:
        tool = tool_of(one)
        into = fresh if one is chain[0] else fresh.with_name(fresh.name + ".increment")
        shutil.rmtree(into, ignore_errors=True)
        into.mkdir(mode=0o700)
        unpacks, increment = tool.unpack(into), into if into != fresh else None
        prepares = tool.prepare(fresh, increment, last=one is chain[-1])
        for program in (unpacks, prepares):
            if program and shutil.which(program[0]) is None:
                raise NoRestore(f"the backup {one['id']} was made by {tool.name}, and this node has no {program[0]}")
        done = _unpack(store, told, one, unpacks, done, tell)
        if prepares:
            done = _prepare(prepares, one["id"], done, tell)
        if increment is not None:
            shutil.rmtree(increment)
    return done


def _unpack(
    store: Any, told: dict[str, Any], one: dict[str, Any], unpacks: list[str], done: int, tell: Tell
) -> int:  # fmt: skip
    from ccx_agent.mariadb_copy import data_of
    from ccx_agent.mariadb_store import WIDE, Damaged, finish

    digest, at = hashlib.sha256(), 0.0
    download = store.download(f"backup/{told['logs'][0]}/{data_of(one)}")
    opening = subprocess.Popen(
        ["zstd", "-q", "-d", "-c"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/", pipesize=WIDE
    )
    unpacking = subprocess.Popen(unpacks, stdin=opening.stdout, cwd="/")
    assert download.stdout is not None
    assert opening.stdin is not None
    assert opening.stdout is not None
    opening.stdout.close()
    try:
        while piece := download.stdout.read(WIDE):
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


def _replay(store: Any, told: dict[str, Any], after: str, log: Log, server: _Server, tell: Tell) -> str:
    from ccx_agent.log_parts import gap, parse, route
    from ccx_agent.mariadb_ship import plain

    parts = [
        part for branch, name in enumerate(told["logs"]) for key in store.names(f"archive/{name}")
        if (part := parse(plain(key), branch)) is not None
    ]  # fmt: skip
    through, before = told.get("through", ""), told.get("before", "")
    goal = log.number(through) if through else log.place(before) if before else None
    deadline = log.too_late(told["to"]) if told.get("to") is not None else None
    begin, last, done = log.number(after), after, 0
    if before and log.has(after, before):
        raise NoRestore(f"the backup ends with {after}: what was before {before} begins with an older one")
    file, at = Path(told["work"]) / "replayed", begin
    for piece in route(parts, begin, goal):
        _fetch(store, told, piece.part, file)
        first, stop = None, None
        for one in _whole(log.transactions(file, piece.part.start)):
            if one.number <= piece.after:
                continue
            if before and (one.gtid == before or one.number == goal):
                _check_same(one.gtid, before)
                stop = one.offset
                break
            if one.number > piece.to or (deadline is not None and one.time >= deadline):
                stop = one.offset
                break
            first = one.offset if first is None else first
            last, at = one.gtid, one.number
        if first is not None:
            size, what = file.stat().st_size, f"replaying the log: {last}"
            tell(what, done)
            for read in server.replay(file, first, stop):
                tell(what, done + min(read, size))
            done += size
        file.unlink()
        if stop is not None and at < piece.to and (before or deadline is not None):
            return last
    if (goal is None or at < goal) and gap(parts, begin):
        raise NoRestore(f"the log has a gap behind {last}")
    if before and goal is None:
        raise NoRestore(f"there is no transaction {before} in the log, which ends at {last}")
    if goal is not None and at < goal:
        raise NoRestore(f"the log ends at {last}, before transaction {before or goal}")
    return last


def _whole(found: Iterator[Transaction]) -> Iterator[Transaction]:
    """Up to where a file breaks off that died with its server: nobody was told of what was being written."""
    from ccx_agent.binlog import BreaksOff

    with suppress(BreaksOff):
        yield from found


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
        from ccx_agent.backed import backed

        self._told = told
        self._socket = f"{told['run']}/restore.sock"
        self._said = Path(told["work"]) / "restore.log"
        self._backed = backed(told)
        self._command = [
            told["mariadbd"], f"--defaults-file={told['server']}", f"--datadir={data}", f"--socket={self._socket}",
            f"--pid-file={told['run']}/restore.pid", *self._backed.stands_alone,
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

    def replay(self, log: Path, first: int, stop: int | None) -> Iterator[int]:
        """From one place of the file to another. Positions, not transactions: so nothing is left to be understood.

        Says each second how many bytes of it are read, about: one transaction alone can take long.
        """
        read = [*self._backed.reads_log, f"--start-position={first}"]
        reading = subprocess.Popen(
            [*read, *([f"--stop-position={stop}"] if stop is not None else []), str(log)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/",
        )  # fmt: skip
        taking = subprocess.Popen(
            [*self._backed.takes_log, f"--socket={self._socket}"],
            stdin=reading.stdout, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/",
        )  # fmt: skip
        assert reading.stdout is not None
        assert reading.stderr is not None
        reading.stdout.close()
        refused = yield from _until_it_ends(taking, reading.pid)
        said = reading.stderr.read()
        if reading.wait() or taking.returncode:
            words = (refused or said).decode(errors="replace").strip()[-_SAID:]
            raise NoRestore(f"the log can't be replayed: {words}")

    def agree(self, gtid: str) -> None:
        """The copy goes up to there."""
        from ccx_agent.mysql_wire import Connection

        with Connection(self._socket, "mysql", _STARTS_S) as connection:
            self._backed.agrees(connection.query, gtid)

    def settle(self, gtid: str) -> None:
        """It is restored up to there, and goes on from there."""
        self._ask(self._backed.settles(self._told, gtid))

    def _ask(self, statements: list[str]) -> None:
        from ccx_agent.mysql_wire import Connection

        with Connection(self._socket, "mysql", _STARTS_S) as connection:
            for statement in statements:
                connection.query(statement, _STARTS_S)


def _prepare(command: list[str], label: str, done: int, tell: Tell) -> int:
    """Makes a copy's files agree. How many bytes are done then: what it reads counts, or it would seem to stand still.

    It may take as long as the copy took, and tells nobody how far it is.
    """
    preparing = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/")
    far, steps = 0, _until_it_ends(preparing, preparing.pid)
    try:
        while True:
            far = next(steps)
            tell("preparing the backup", done + far)
    except StopIteration as ended:
        said: bytes = ended.value
    if preparing.returncode:
        raise NoRestore(f"preparing {label} failed: {said.decode(errors='replace').strip()[-_SAID:]}")
    return done + far


def _until_it_ends(process: subprocess.Popen[bytes], reader: int) -> Generator[int, None, bytes]:
    """Says each second how many bytes the process ``reader`` has read by then; returns what the other one said."""
    from ccx_agent.mariadb_copy import read_by

    far = 0
    while True:
        try:
            return process.communicate(timeout=_TELL_EVERY_S)[1]
        except subprocess.TimeoutExpired:
            far = max(far, read_by(reader))
            yield far


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
