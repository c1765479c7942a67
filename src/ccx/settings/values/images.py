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
            yield path, value
        elif key == "image" and isinstance(value, dict) and value.get("repository"):
            registry = f"{value['registry']}/" if value.get("registry") else ""
            tag = f":{value['tag']}" if value.get("tag") else ""
            yield path, f"{registry}{value['repository']}{tag}"
        elif isinstance(value, dict):
            yield from _images(value, f"{path}.")
