"""Plans read back from the ``json`` format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ccx.errors import CcxError, Invalid
from ccx.network.hosts import checked_host, checked_port
from ccx.network.kinds import GROUPS, Direction, Mirror, Plane, Protocol, Status
from ccx.network.plan import Plan, Row
from ccx.network.render.json import SCHEMA

_ANY_SCHEMA = SCHEMA.rpartition(":")[0] + ":"
_GROUPS = {str(group): group for group in GROUPS}
_KINDS = {"protocol": Protocol, "direction": Direction, "plane": Plane, "mirror": Mirror, "status": Status}
_TEXTS = ("id", "service", "purpose", "condition", "when_blocked", "source")


def is_exported(file: Path) -> bool:
    """Whether the file looks like an exported plan, of whatever version, rather than settings."""
    try:
        begin = file.read_text(encoding="utf-8").lstrip()[:200]
    except (OSError, UnicodeDecodeError):
        return False
    return begin.startswith("{") and f'"{_ANY_SCHEMA}' in begin


def load(file: Path) -> Plan:
    """The plan in the file. Raises Invalid, with the row's place, for what is no such plan."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise Invalid("this is no exported plan", field=str(file), remedy="Export one: --format json") from None
    rows = document.get("endpoints") if isinstance(document, dict) else None
    found = document.get("schema") if isinstance(document, dict) else None
    if isinstance(found, str) and found.startswith(_ANY_SCHEMA) and found != SCHEMA:
        raise Invalid(
            f"this is a plan of schema {found}, and this ccx reads {SCHEMA}",
            field=str(file),
            remedy="Export it again with this ccx, ccx network plan --format json; or compare the settings instead",
        )
    if not isinstance(rows, list) or found != SCHEMA:
        raise Invalid(f"this is no plan of schema {SCHEMA}", field=str(file), remedy="Export one: --format json")
    return Plan(tuple(_row(row, f"{file}: endpoints.{index}") for index, row in enumerate(rows)))


def _row(members: Any, where: str) -> Row:
    try:
        group = _GROUPS.get(members["host"])
        texts: dict[str, Any] = {name: str(members[name]) for name in _TEXTS}
        kinds: dict[str, Any] = {name: kind(members[name]) for name, kind in _KINDS.items()}
        return Row(
            section=members["section"], required=bool(members["required"]), group=group,
            host=members["host"] if group else checked_host(members["host"], field=where),
            port=checked_port(int(members["port"]), field=where),
            behind=tuple(checked_host(host, field=where) for host in members["behind"]),
            path=str(members.get("path", "")), pod_port=members.get("pod_port"), via=str(members.get("via", "")),
            **texts, **kinds,
        )  # fmt: skip
    except CcxError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{error}" if isinstance(error, KeyError) else "a value of the wrong kind"
        raise Invalid(f"this is no row of a plan: {what}", field=where, remedy="Export the plan again") from None
