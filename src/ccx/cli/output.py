"""Printing results. Standard output carries the result and nothing else; progress and errors go to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any

from ccx.cli.options import Output

if TYPE_CHECKING:
    from rich.console import Console

Column = tuple[str, str | Callable[[Mapping[str, Any]], Any]]
"""A heading, and the row's key or a function of the row."""

_WIDE = 4096
"""Columns when nobody looks: a pipe's reader wants whole lines, not ones folded at 80."""

_STATUS_STYLE = {
    "STARTED": "green",
    "DEGRADED": "yellow",
    "FAILURE": "bold red",
    "DEPLOY_FAILED": "red",
    "DELETE_FAILED": "red",
    "DELETED": "dim",
    "JOB_STATUS_FINISHED": "green",
    "JOB_STATUS_ERRORED": "red",
    "primary": "bold",
}


def console(stream: IO[str]) -> Console:
    """A console on ``stream``: as wide as its terminal, colours only there and not with ``NO_COLOR``."""
    from rich.console import Console

    return Console(file=stream, highlight=False, width=None if stream.isatty() else _WIDE)


def say(text: str) -> None:
    """A line for the person, on standard error."""
    print(text, file=sys.stderr, flush=True)


def rows(items: Sequence[Mapping[str, Any]], columns: Sequence[Column], output: Output, *, empty: str) -> None:
    """Prints a list. ``empty`` is said on standard error when a table would have no rows."""
    if output is not Output.TABLE:
        return document(list(items), output)
    if not items:
        return say(empty)
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD if sys.stdout.isatty() else None, pad_edge=False, header_style="bold")
    for heading, _ in columns:
        table.add_column(heading, overflow="fold")
    for item in items:
        table.add_row(*(_cell(_value(item, source)) for _, source in columns))
    return _render(table)


def record(item: Mapping[str, Any], columns: Sequence[Column], output: Output) -> None:
    """Prints one thing: its fields below one another; empty ones are left out of the table."""
    if output is not Output.TABLE:
        return document(item, output)
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim" if sys.stdout.isatty() else None, no_wrap=True)
    table.add_column(overflow="fold")
    for heading, source in columns:
        value = _value(item, source)
        if value not in (None, "", []):
            table.add_row(heading, _cell(value))
    return _render(table)


def done(said: str, item: Mapping[str, Any], output: Output) -> None:
    """Says that something was done; a script gets ``item`` instead."""
    return say(said) if output is Output.TABLE else document(item, output)


def document(data: Any, output: Output) -> None:
    """Prints ``data`` as JSON or YAML, keys in the API's order."""
    if output is Output.YAML:
        import yaml

        sys.stdout.write(yaml.safe_dump(data, sort_keys=False, allow_unicode=True))
    else:
        print(json.dumps(data, indent=2, ensure_ascii=False))


def age(timestamp: str | None) -> str:
    """An RFC 3339 time as local time, to the second."""
    if not timestamp:
        return ""
    return datetime.fromisoformat(timestamp).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def size(count: int | None) -> str:
    """Bytes in a unit that people read."""
    amount = float(count or 0)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def _value(item: Mapping[str, Any], source: str | Callable[[Mapping[str, Any]], Any]) -> Any:
    return item.get(source) if isinstance(source, str) else source(item)


def _cell(value: Any) -> Any:
    from rich.text import Text

    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return Text(", ".join(str(part) for part in value))
    return Text(str(value), style=_STATUS_STYLE.get(str(value), ""))


def _render(table: Any) -> None:
    out = console(sys.stdout)
    with out.capture() as captured:
        out.print(table)
    sys.stdout.write("\n".join(line.rstrip() for line in captured.get().strip("\n").split("\n")) + "\n")
