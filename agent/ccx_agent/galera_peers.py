"""What the other members' keepers say, asked side by side."""

from __future__ import annotations

import http.client
import json
import ssl
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .galera_rules import Peer, Position

_LIMIT = 1.0
"""Seconds for an answer."""

Report = dict[str, Any]


def reports(told: dict[str, Any], context: ssl.SSLContext) -> dict[str, Report]:
    """By label, of those that answer in time."""
    others = {label: address for label, address in told["nodes"].items() if label != told["label"]}
    if not others:
        return {}
    with ThreadPoolExecutor(len(others)) as threads:
        answers = threads.map(lambda address: _ask(address, int(told["port"]), context), others.values())
        return {label: answer for label, answer in zip(others, answers, strict=True) if answer.get("label") == label}


def _ask(address: str, port: int, context: ssl.SSLContext) -> Report:
    connection = http.client.HTTPSConnection(address, port, timeout=_LIMIT, context=context)
    try:
        connection.request("GET", "/status")
        answer = connection.getresponse()
        found = json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError):
        return {}
    finally:
        connection.close()
    return found if isinstance(found, dict) else {}


def peer(report: Report) -> Peer:
    waiting, serves = report.get("waiting"), bool(report.get("serves"))
    starts = not (serves or waiting or report.get("running"))
    return Peer(serves, position(waiting) if waiting else None, starts)


def position(waiting: dict[str, Any]) -> Position:
    return Position(waiting["history"], waiting["seqno"], tuple(waiting["view"]), waiting["view_at"])
