"""Variables in values: ``{ccxFQDN}`` or ``{{ .Values.ccxFQDN }}`` stand for the value of that name."""

from __future__ import annotations

import re

from ccx.settings.values.findings import Findings
from ccx.settings.values.tree import Tree

_SECRET = re.compile(r"(?i)(password|passwd|secret|token|license|key)s?$")
_VARIABLE = re.compile(r"\{\{-?\s*\.Values\.([\w.-]+)\s*-?\}\}|\{([A-Za-z_][\w.-]*)\}")


def expand(text: str, tree: Tree, field: str, findings: Findings) -> str:
    """``text`` without variables. Refuses one that has no value or refers to itself (lenient: empty)."""
    return _expand(text, tree, field, findings, ())


def _expand(text: str, tree: Tree, field: str, findings: Findings, within: tuple[str, ...]) -> str:
    parts, end = [], 0
    for match in _VARIABLE.finditer(text):
        name = match.group(1) or match.group(2)
        value = tree.get(name)
        if name in within:
            path = " -> ".join([*within, name])
            findings.refuse(field, f"the variable {name} refers to itself: {path}", f"Write a plain value for {name}")
            return ""
        if _SECRET.search(name):
            findings.refuse(field, f"the variable {name} is a secret, and this would show it", "Write the host itself")
            return ""
        if not isinstance(value, str | int) or value == "":
            findings.refuse(field, f"the variable {name} has no value", f"Set {name}, or write the host itself")
            return ""
        parts += [text[end : match.start()], _expand(str(value), tree, field, findings, (*within, name))]
        end = match.end()
    plain = "".join([*parts, text[end:]])
    if "{" in plain or "}" in plain:
        findings.refuse(field, "there is a brace that belongs to no variable", "Write variables as {name}")
        return ""
    return plain
