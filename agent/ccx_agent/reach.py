"""What this node sees of others: the answer to "is it gone, or is it only us who lost it?"."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

from .errors import AgentError
from .verb import Args, Progress, Verb, number


def reachable(args: Args, _progress: Progress) -> dict[str, object]:
    """``targets``: [[host, port], …], ``limit`` seconds for all. A refusal is none: it may be a router's."""
    targets = args.get("targets", [])
    if not isinstance(targets, list) or not all(_is_target(target) for target in targets):
        raise AgentError("argument targets must be a list of [host, port]")
    limit = number(args, "limit", 1.0)
    with ThreadPoolExecutor(max_workers=max(1, min(32, len(targets)))) as pool:
        answers = pool.map(lambda target: _answers(target[0], target[1], limit), targets)
        return {"reachable": [[host, port, seen] for (host, port), seen in zip(targets, answers, strict=True)]}


def _is_target(target: object) -> bool:
    match target:
        case [str(), int()]:
            return True
    return False


def _answers(host: str, port: int, limit: float) -> bool:
    try:
        socket.create_connection((host, port), timeout=limit).close()
    except OSError:
        return False
    return True


VERBS = {"reachable": Verb(reachable, mutates=False)}
