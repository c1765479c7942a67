"""A MySQL server of the moment: on data that no other one uses, and that nobody else can reach."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .mysql_wire import Connection, ServerSilent

_COMES_UP_S = 120.0
_ENDS_S = 30.0
_LOOK_EVERY_S = 0.1
_SMALL = (
    "--skip-networking", "--skip-log-bin", "--super-read-only=OFF", "--read-only=OFF", "--skip-replica-start",
    "--innodb-buffer-pool-size=32M", "--innodb-redo-log-capacity=64M", "--innodb-doublewrite=OFF",
)  # fmt: skip


class NotServing(Exception):
    """It does not come up, in its own last words."""


@contextmanager
def momentary(told: dict[str, Any], data: Path, socket: Path, options: Sequence[str] = ()) -> Iterator[Connection]:
    """A connection to it. ``told``: ``server``, the program, and ``server_file``, the real one's configuration.

    It has the plugins of the real one. It is small: the real one may run beside it.
    """
    said = socket.with_suffix(".log")
    command = [
        told["server"], f"--defaults-file={told['server_file']}", f"--datadir={data}", f"--socket={socket}",
        f"--pid-file={socket.with_suffix('.pid')}", *_SMALL, *options,
    ]  # fmt: skip
    with said.open("wb") as words:
        server = subprocess.Popen(command, stdout=words, stderr=words, cwd="/")
    try:
        with _connected(server, socket, said) as connection:
            yield connection
    finally:
        server.terminate()
        try:
            server.wait(_ENDS_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        said.unlink(missing_ok=True)


def _connected(server: subprocess.Popen[bytes], socket: Path, said: Path) -> Connection:
    until = time.monotonic() + _COMES_UP_S
    while True:
        try:
            return Connection(str(socket), "mysql", _COMES_UP_S)
        except ServerSilent:
            if server.poll() is not None or time.monotonic() > until:
                raise NotServing(said.read_text(errors="replace").strip()[-500:]) from None
            time.sleep(_LOOK_EVERY_S)
