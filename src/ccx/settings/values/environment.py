"""The environment: the process's own, over a service's, over ``ccx.env``."""

from __future__ import annotations

from collections.abc import Mapping

from ccx.settings.values.findings import Findings
from ccx.settings.values.tree import Tree

ON = {"true", "1", "yes", "on", "t", "y"}
_OFF = {"false", "0", "no", "off", "f", "n", ""}


class Environment:
    """Variables as one service of the charts would see them."""

    def __init__(self, tree: Tree, service: str, environ: Mapping[str, str]) -> None:
        self._tree = tree
        self._maps = [(path, tree.map(path)) for path in (f"ccx.services.{service}.env", "ccx.env")]
        self._environ = environ

    def text(self, name: str) -> str:
        """The variable's value, empty when it is unset. One that comes from a Secret has no value that we can see."""
        if name in self._environ:
            return self._environ[name]
        for _, values in self._maps:
            if values.get(name) is not None:
                value = values[name]
                return "" if isinstance(value, dict | list) else str(value)
        return ""

    def is_set(self, name: str) -> bool:
        """Whether it has a value, or gets one from a Secret (``valueFrom``)."""
        return bool(self.text(name).strip()) or any(
            isinstance(values.get(name), dict) and values[name] for _, values in self._maps
        )

    def flag(self, name: str, findings: Findings) -> bool:
        """A boolean or the string of one: ``"false"`` is off."""
        text = self.text(name).strip().lower()
        if text not in ON | _OFF:
            findings.refuse(self.where(name), "this is neither true nor false", 'Write "true" or "false"')
        return text in ON

    def where(self, name: str) -> str:
        """Where the variable was set, for messages."""
        if name in self._environ:
            return f"environment: {name}"
        for path, values in self._maps:
            if values.get(name) is not None:
                return self._tree.where(f"{path}.{name}")
        return f"{self._maps[0][0]}.{name}"


def flag(tree: Tree, path: str, findings: Findings, default: bool = False) -> bool:
    """A boolean of a values file; also understood as a string."""
    value = tree.get(path, default)
    if isinstance(value, bool):
        return value
    if not isinstance(value, str | int) or str(value).strip().lower() not in ON | _OFF:
        findings.refuse(tree.where(path), "this is neither true nor false", "Write true or false")
        return default
    return str(value).strip().lower() in ON
