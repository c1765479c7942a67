"""What an undeclared connection is answered with: who tried, where to, and which declaration is nearest."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ccx.errors import CcxError
from ccx.network.hosts import covers

if TYPE_CHECKING:
    from ccx.network.endpoint import Endpoint
    from ccx.settings import Settings

# Nothing is nearest to a destination that resembles no declaration.
_RESEMBLANCE = 0.6


class UndeclaredConnection(CcxError):
    """A connection that the network contract does not hold. A defect of ours, not of a user's input.

    Attributes:
        caller: the module that tried.
        destination: ``host:port``.
        nearest: id of the declaration that comes closest, if any does.
    """

    status = 500

    def __init__(self, err: str, *, caller: str, destination: str, nearest: Endpoint | None, remedy: str = "") -> None:
        hint = f"The nearest declaration is {nearest.id} ({nearest.module}). " if nearest else ""
        super().__init__(
            err, remedy=remedy or f"{hint}Declare it in an endpoints.py, and use that declaration's client"
        )
        self.caller = caller
        self.destination = destination
        self.nearest = nearest.id if nearest else None


def calling_module() -> str:
    """The innermost module of ours on the stack, the contract's own left out; ``unknown`` when there is none."""
    frame = sys._getframe(1)
    while frame is not None:
        name: str = frame.f_globals.get("__name__", "")
        if name.startswith("ccx.") and not name.startswith("ccx.network"):
            return name
        if frame.f_back is None:
            break
        frame = frame.f_back
    # A caller outside the package, as a test or a script of the operator's.
    frame = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] in _BETWEEN:
        if frame.f_back is None:
            return "unknown"
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", "unknown"))


_BETWEEN = frozenset(
    {"ccx", "httpx", "httpcore", "anyio", "asyncio", "socket", "contextlib", "concurrent", "threading", "selectors"}
)


def nearest(host: str, port: int, settings: Settings, endpoints: Iterable[Endpoint]) -> Endpoint | None:
    """The declaration that a person most likely meant, by host first, then by port."""
    best: tuple[float, str] | None = None
    found: Endpoint | None = None
    for endpoint in endpoints:
        for target in endpoint.targets_or_none(settings):
            names = (*target.members(settings), *target.behind)
            likeness = max((_likeness(name, host) for name in names), default=0.0)
            if likeness < _RESEMBLANCE:
                continue
            score = (likeness + 0.2 * (target.port == port), endpoint.id)
            if best is None or (score[0], best[1]) > (best[0], score[1]):
                best, found = score, endpoint
    return found


def _likeness(declared: str, host: str) -> float:
    from difflib import SequenceMatcher  # only for a refusal's words: not worth its time at every start

    return 1.0 if covers(declared, host) else SequenceMatcher(None, declared, host).ratio()
