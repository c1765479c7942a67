"""The images that values name, and the registry that all of them may be moved to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ccx.settings.values.tree import Tree


def images(tree: Tree) -> tuple[tuple[str, str], ...]:
    """Every ``image`` below ``ccx`` and ``cmon``, and in ccxdeps' parts, with its path: (path, reference)."""
    return tuple(sorted(_images(tree.values, "")))


def _images(values: Mapping[str, Any], above: str) -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        path = f"{above}{key}"
        if key == "image" and isinstance(value, str) and value:
            yield path, f"{value}:{values['tag']}" if values.get("tag") else value
        elif key == "image" and isinstance(value, dict) and value.get("repository"):
            registry = f"{value['registry']}/" if value.get("registry") else ""
            # Without a tag the chart has one of its own.
            yield path, f"{registry}{value['repository']}:{value.get('tag') or 'of-the-chart'}"
        elif isinstance(value, dict):
            yield from _images(value, f"{path}.")
