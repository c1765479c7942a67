"""What a verb is: a function from arguments to a result, and whether it changes the node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import AgentError

MAIN, SIDE, LOG = "main", "side", "log"
"""What changes what the node does; what backs it up meanwhile; and what only ends a part of the log."""

Args = dict[str, Any]
Progress = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Verb:
    run: Callable[[Args, Progress], dict[str, Any]]
    mutates: bool
    """Needs the job's token. What only looks needs none."""
    lane: str = MAIN
    """Which jobs may call it. The token is compared with those of this lane: jobs of two lanes run side by side."""


def text(args: Args, name: str, default: str | None = None) -> str:
    """The argument ``name``, which must be a string; without a default it must be there."""
    value = args.get(name, default)
    if not isinstance(value, str):
        raise AgentError(f"argument {name} must be text")
    return value


def texts(args: Args, name: str) -> list[str]:
    """The argument ``name``, a list of strings; absent, an empty one."""
    value = args.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise AgentError(f"argument {name} must be a list of texts")
    return value


def number(args: Args, name: str, default: float) -> float:
    value = args.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise AgentError(f"argument {name} must be a number")
    return float(value)


def flag(args: Args, name: str) -> bool:
    value = args.get(name, False)
    if not isinstance(value, bool):
        raise AgentError(f"argument {name} must be true or false")
    return value
