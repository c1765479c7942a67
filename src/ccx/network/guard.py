"""Explains, in the process, what the kernel refuses: which module connects where, and what it should have declared.

A Python audit hook sees ``socket.connect`` and ``socket.sendto`` of this process. It does not see connections made by C
libraries (libpq, so psycopg), by other event loops than Python's own (uvloop), or by child processes; and it knows
names only as this process looked them up. The kernel's rules see all of these: they enforce, the guard explains.
"""

from __future__ import annotations

import logging
import socket
import sys
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from ccx.network import catalogue
from ccx.network.hosts import is_address, is_loopback
from ccx.network.kinds import Direction
from ccx.network.plan import Plan, Row, plan
from ccx.network.refusal import UndeclaredConnection, calling_module, nearest

if TYPE_CHECKING:
    from ccx.settings import Settings

_log = logging.getLogger(__name__)
# Names looked up are kept for so many addresses; the oldest go first.
_MOST_ADDRESSES = 4096


class Mode(StrEnum):
    OFF = "off"
    AUDIT = "audit"
    """Undeclared connections are counted and logged, once for each caller and destination, and go on."""
    ENFORCE = "enforce"
    """They raise :class:`UndeclaredConnection` before a packet is sent."""


class Guard:
    """One process's guard. An audit hook stays for the life of its process, so there is one (:data:`guard`)."""

    def __init__(self) -> None:
        self.mode = Mode.OFF
        self.undeclared: Counter[tuple[str, str]] = Counter()
        """How often, by (calling module, ``host:port``)."""
        self._plan = Plan(())
        self._settings: Settings | None = None
        self._names: dict[str, set[str]] = {}
        self._look_up: Callable[..., Any] | None = None
        self._hooked = False

    def on(self, mode: Mode, settings: Settings) -> None:
        """Watches from now on, against the plan of ``settings``. May be called again to change either."""
        self._settings, self._plan = settings, plan(settings)
        if mode is not Mode.OFF and not self._hooked:
            sys.addaudithook(_only_sockets(self._hear))
            self._hooked = True
        if mode is not Mode.OFF and self._look_up is None:
            self._look_up, socket.getaddrinfo = socket.getaddrinfo, self._getaddrinfo
        self.mode = mode

    def off(self) -> None:
        """Stops watching; what was counted stays."""
        self.mode = Mode.OFF
        if self._look_up is not None:
            socket.getaddrinfo, self._look_up = self._look_up, None

    def _getaddrinfo(self, host: Any, *args: Any, **options: Any) -> Any:
        assert self._look_up is not None
        found = self._look_up(host, *args, **options)
        if isinstance(host, str) and not is_address(host):
            for *_, address in found:
                self._names.setdefault(str(address[0]), set()).add(host.rstrip(".").lower())
            while len(self._names) > _MOST_ADDRESSES:
                del self._names[next(iter(self._names))]
        return found

    def _hear(self, args: tuple[Any, ...]) -> None:
        if self.mode is Mode.OFF:
            return
        opened, address = args[0], args[1]
        if opened.family not in (socket.AF_INET, socket.AF_INET6) or not isinstance(address, tuple):
            return
        host, port = str(address[0]), int(address[1])
        # Port 0 sends nothing: libraries use it to learn which of this machine's addresses would be used.
        if port == 0 or is_loopback(host):
            return
        names = {host, *self._names.get(host, ())}
        if any(self._covers(row, name, port) for row in self._plan.rows for name in names):
            return
        self._report(sorted(names, key=is_address)[0], port)

    def _covers(self, row: Row, name: str, port: int) -> bool:
        if row.port != port or row.direction is Direction.INBOUND:
            return False
        # Where the settings don't know a group's members, its port is all there is to compare.
        unknown_group = row.group is not None and row.group not in self._plan.groups
        return unknown_group or row in self._plan.find(name, port)

    def _report(self, host: str, port: int) -> None:
        assert self._settings is not None
        caller, destination = calling_module(), f"{host}:{port}"
        self.undeclared[caller, destination] += 1
        closest = nearest(host, port, self._settings, catalogue.load().values())
        problem = UndeclaredConnection(
            f"{caller} connects to {destination}, which no declaration holds",
            caller=caller, destination=destination, nearest=closest,
        )  # fmt: skip
        if self.mode is Mode.ENFORCE:
            raise problem
        if self.undeclared[caller, destination] == 1:
            _log.warning("%s", problem)


def _only_sockets(hear: Callable[[tuple[Any, ...]], None]) -> Callable[[str, tuple[Any, ...]], None]:
    """An audit hook that passes on a socket's connections and datagrams.

    It hears of all else too, some twenty times for a request. A plain function costs a fifth of what a bound method
    does: at each event, Python looks for an attribute on the hook that methods don't have.
    """

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "socket.connect" or event == "socket.sendto":
            hear(args)

    return hook


guard = Guard()
"""This process's guard; off until :meth:`Guard.on`."""
