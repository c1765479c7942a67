"""Values files, merged as Helm merges them, and which file each value came from."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ccx.errors import Invalid

_QUOTED = re.compile(r"\s*(['\"]).*\1")


class _Loader(yaml.SafeLoader):
    """Refuses a key that is written twice, as Helm does; YAML itself would let the last one win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key is no text", key.start_mark)
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(None, None, "a key is there twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


class Tree:
    """Nested maps of values, looked up by dotted path."""

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self._values: dict[str, Any] = dict(values or {})
        self._origins: dict[str, tuple[str, Mapping[str, str]]] = {}

    def merge(self, values: Mapping[str, Any], origin: str, moved: Mapping[str, str] | None = None) -> None:
        """Lays ``values`` over what is there: maps merge, lists and scalars replace, null deletes.

        ``moved`` says how paths begin in the file ``origin`` where they begin otherwise there, for :meth:`where`.
        """
        self._values = _merged(self._values, values)
        for path in _paths(values):
            self._origins[path] = origin, moved or {}

    def get(self, path: str, default: Any = None) -> Any:
        """The value at the dotted path; ``default`` where there is none, or null.

        Raises Invalid where something on the way is no mapping.
        """
        found: Any = self._values
        parts = path.split(".")
        for depth, part in enumerate(parts):
            if found is None:
                return default
            if not isinstance(found, dict):
                above = ".".join(parts[:depth])
                raise Invalid(
                    "this must be a mapping", field=self.where(above), remedy="Write names and values below it"
                )
            found = found.get(part)
        return default if found is None else found

    def has(self, path: str) -> bool:
        """Whether something other than null is written there."""
        return self.get(path) is not None

    def map(self, path: str) -> dict[str, Any]:
        """The map at the path, empty where there is none. Raises Invalid where something else is written."""
        found = self.get(path, {})
        if not isinstance(found, dict):
            raise Invalid(
                "this must be a mapping", field=self.where(path), remedy=f"Write names and values below {path}"
            )
        return {str(key): value for key, value in found.items()}

    def list(self, path: str) -> list[Any]:
        """The list at the path, empty where there is none. Raises Invalid where something else is written."""
        found = self.get(path, [])
        if not isinstance(found, list):
            raise Invalid("this must be a list", field=self.where(path), remedy=f"Write {path} as a list")
        return found

    def where(self, path: str) -> str:
        """The path with the file in which it (or what is nearest above it) was written last."""
        parts = path.split(".")
        for length in range(len(parts), 0, -1):
            origin, moved = self._origins.get(".".join(parts[:length]), ("", {}))
            if origin:
                begin = next((here for here in moved if path == here or path.startswith(f"{here}.")), "")
                return f"{origin}: {moved.get(begin, begin)}{path[len(begin) :]}"
        return path

    @property
    def values(self) -> dict[str, Any]:
        return self._values


def entries(value: Any, where: str) -> list[Any]:
    """A list inside of a list's entry; empty for none. Raises Invalid where it is something else."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise Invalid("this must be a list", field=where, remedy="Write it as a list")
    return value


def whole(value: Any, where: str) -> int:
    """A number of at least 1, also as a string. Raises Invalid for anything else."""
    if isinstance(value, bool) or not str(value).isdecimal() or int(str(value)) < 1:
        raise Invalid("this is no whole number of at least 1", field=where, remedy="Write one")
    return int(str(value))


def load(file: Path) -> dict[str, Any]:
    """The mapping in a YAML file; empty for an empty file.

    Raises Invalid with file and line, and without quoting what is written there.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Invalid("there is no such file", field=str(file), remedy="Check the path") from None
    except UnicodeDecodeError:
        raise Invalid("this is no text in UTF-8", field=str(file), remedy="Save it as UTF-8") from None
    except OSError as error:
        raise Invalid(
            f"can't be read: {error.strerror}", field=str(file), remedy="Check the path and its mode"
        ) from None
    try:
        found = yaml.load(text, _Loader)  # noqa: S506 (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        problem = _QUOTED.sub("", error.problem or "it can't be parsed")
        line = f"{file}:{error.problem_mark.line + 1}" if error.problem_mark else str(file)
        raise Invalid(f"this is not YAML: {problem}", field=line, remedy="Correct that line") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise Invalid("this is not YAML", field=str(file), remedy="Correct the file") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise Invalid(
            "a values file holds a mapping", field=str(file), remedy="Write names and values, as in the chart"
        )
    return {str(key): value for key, value in found.items()}


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            under = merged.get(key)
            merged[key] = _merged(under if isinstance(under, dict) else {}, value)
        else:
            merged[key] = value
    return merged


def _paths(values: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for key, value in values.items():
        path = f"{above}{key}"
        yield path
        if isinstance(value, dict):
            yield from _paths(value, f"{path}.")
