"""Outcomes for machines, as ``probe.schema.json`` describes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from ccx.network.probe.outcome import Outcome, Result

SCHEMA = "urn:ccx:network-probe:1"
_OF_ROW = ("id", "port", "path", "protocol", "plane", "required", "condition", "status", "via", "when_blocked")


def document(outcomes: Sequence[Outcome], *, where: str, planned: bool = False) -> dict[str, Any]:
    """``{"schema", "from", "ok", "outcomes": [...]}``. ``where`` says what they were tried from."""
    return {
        "schema": SCHEMA,
        "from": where,
        "ok": not any(outcome.breaks(planned=planned) for outcome in outcomes),
        "outcomes": [to_json(outcome) for outcome in outcomes],
    }


def to_json(outcome: Outcome) -> dict[str, Any]:
    """One outcome as plain data."""
    row, answer = outcome.row, outcome.answer
    members: dict[str, Any] = {"host": outcome.target.host, **{name: getattr(row, name) for name in _OF_ROW}}
    members |= {"result": outcome.result.value, "why": outcome.why, "remedy": outcome.remedy}
    if outcome.result is Result.FAILED:
        members["rule"] = outcome.rule
    if answer is not None:
        members |= {"stage": answer.stage, "code": answer.code, "addresses": list(answer.addresses)}
        members |= {"seconds": answer.seconds, "http_status": answer.status}
        shown = answer.certificate
        members["certificate"] = shown and {
            "subject": shown.subject, "issuer": shown.issuer, "root": shown.root, "expires": shown.expires,
            "days": shown.days,
        }  # fmt: skip
    return members


def schema() -> dict[str, Any]:
    """The JSON Schema of :func:`document`."""
    loaded: dict[str, Any] = json.loads(files("ccx.network.probe").joinpath("probe.schema.json").read_text())
    return loaded
