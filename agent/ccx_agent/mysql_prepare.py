"""Before MySQL starts: its data is made, restored, or cloned from the leader, by
``python3 -I mysql_prepare.py CONFIGURATION``.

Data that is there is left alone, unless the keeper marked it as given up. The leader's server sends the copy itself, to
a server of the moment here (CLONE INSTANCE): no tool for physical backups takes part in it.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

_CLONED_S = 24 * 3600.0
_TELL_EVERY_S = 0.5


def main(path: str) -> int:
    from ccx_agent.mariadb_fresh import origin, restored
    from ccx_agent.mysql_seed import give_up

    told = json.loads(Path(path).read_text())
    data, fresh, given_up = Path(told["data"]), Path(told["data"] + ".new"), Path(told["rebuild_file"])
    if data.exists() and not given_up.exists():
        return 0
    shutil.rmtree(fresh, ignore_errors=True)
    backup = origin()
    if given_up.exists() or told["joining"] or not backup.get("first", True):
        _clone(told, fresh)
        give_up(told, ["mysqlbinlog", "--verbose", *_only_errant(given_up)])
    elif backup:
        restored({**backup, "replication": told["replication"]}, fresh)
    else:
        _initialise(told, fresh)
    fresh.rename(data)
    shutil.rmtree(_empty(told), ignore_errors=True)
    given_up.unlink(missing_ok=True)
    return 0


def _only_errant(given_up: Path) -> list[str]:
    """Of the transactions in its logs, those that the keeper found to be nobody else's, if it did."""
    from ccx_agent.mysql_gtid import GtidSet

    try:
        return [f"--include-gtids={errant}"] if (errant := str(GtidSet.parse(given_up.read_text()))) else []
    except FileNotFoundError:
        return []


def _initialise(told: dict[str, Any], fresh: Path) -> None:
    from ccx_agent.mysql_fresh import initialise

    initialise(told, fresh, _first_users(told["replication"]))


def _first_users(replicas: dict[str, str]) -> Iterator[str]:
    """Nobody has a password but replicas."""
    from ccx_agent.backed import admit
    from ccx_agent.mysql_fresh import LOCAL_USERS

    yield from LOCAL_USERS
    yield from admit(replicas)


def _clone(told: dict[str, Any], fresh: Path) -> None:
    """A copy of the leader's data as of when it ends; up to which transaction that is, is in it."""
    from ccx_agent.mysql_seed import leader
    from ccx_agent.mysql_wire import ServerRefused, ServerSilent, quoted

    label, address = leader(told)
    user = told["replication"]
    with _receiver(told) as connection:
        connection.query(f"set global clone_valid_donor_list = {quoted(f'{address}:3306')}")
        for name, file in (("ca", "ca"), ("cert", "certificate"), ("key", "key")):
            connection.query(f"set global clone_ssl_{name} = {quoted(told['tls'][file])}")
        try:
            with _telling(told, fresh):
                connection.query(
                    f"clone instance from {quoted(user['user'])}@{quoted(address)}:3306"
                    f" identified by {quoted(user['password'])} data directory = {quoted(str(fresh))} require ssl",
                    _CLONED_S,
                )
        except (ServerRefused, ServerSilent) as error:
            raise SystemExit(f"{label} gives no copy: {error}") from None


@contextmanager
def _receiver(told: dict[str, Any]) -> Iterator[Any]:
    """A connection to a server without data, that nobody else can reach, with the plugins of the real one."""
    from ccx_agent.mysql_momentary import NotServing, momentary

    empty = _empty(told)
    if not empty.exists():  # one that an earlier try made is as good
        making = empty.with_suffix(".making")
        shutil.rmtree(making, ignore_errors=True)
        _initialise(told, making)
        making.rename(empty)
    try:
        with momentary(told, empty, Path(told["socket"]).with_name("momentary.sock")) as connection:
            yield connection
    except NotServing as why:
        empty.rename(empty.with_suffix(".making"))  # the next try begins with a new one
        raise SystemExit(f"the server that is to receive the copy does not come up: {why}") from None


def _empty(told: dict[str, Any]) -> Path:
    return Path(told["data"] + ".empty")


@contextmanager
def _telling(told: dict[str, Any], fresh: Path) -> Iterator[None]:
    """Meanwhile the keeper's status says how much there is of the copy."""
    ended = False

    def tell() -> None:
        while not ended:
            with suppress(OSError):  # files come and go
                size = sum(path.stat().st_blocks * 512 for path in fresh.rglob("*"))
                Path(told["progress_file"]).write_text(str(size))
            time.sleep(_TELL_EVERY_S)

    thread = Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended = True
        thread.join()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    sys.exit(main(*sys.argv[1:]))
