"""Hosts and URLs as operators write them, checked and stripped of everything that may be a secret."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from ccx.settings.values.findings import Findings
from ccx.settings.values.tree import Tree
from ccx.settings.values.variables import expand

_LABEL = r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")


def is_host(text: str) -> bool:
    """Whether it is a host's name or address."""
    try:
        ip_address(text)
    except ValueError:
        return bool(_NAME.fullmatch(text)) and len(text) <= 253 and not text.replace(".", "").isdigit()
    return True


def host(tree: Tree, value: object, field: str, findings: Findings) -> str:
    """A host's name or address; empty when it is none."""
    text = expand(_text(value, field, findings), tree, field, findings)
    if not text or is_host(text):
        return text
    # Not quoted: it may be a URL with a password in it.
    findings.refuse(field, "this is no host name or address", "Write it without scheme, user, port or path")
    return ""


def url(tree: Tree, value: object, field: str, findings: Findings, *, path: bool = False) -> str:
    """A URL, which may lack its scheme (``https``), without user, password and query; its path only when asked for."""
    text = expand(_text(value, field, findings), tree, field, findings)
    if not text:
        return ""
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        name, port = parts.hostname or "", parts.port
    except ValueError:
        name, port = "", None
    if not is_host(name) or port == 0:
        findings.refuse(field, "this is no URL with a host and a port from 1 to 65535", "Write it as https://host:port")
        return ""
    name = f"[{name}]" if ":" in name else name
    return f"{parts.scheme}://{name}{f':{port}' if port else ''}{parts.path if path else ''}"


def _text(value: object, field: str, findings: Findings) -> str:
    if value is None or (isinstance(value, str | int | float) and not isinstance(value, bool)):
        return str(value or "").strip()
    findings.refuse(field, "this must be text", "Write a name or a URL, in quotes")
    return ""


def port(value: object, field: str, default: int, findings: Findings) -> int:
    """A port, also when it is written as a string."""
    if value in (None, ""):
        return default
    if str(value).isdecimal() and 1 <= int(str(value)) <= 65535:
        return int(str(value))
    findings.refuse(field, "this is no port", "Ports are 1 to 65535")
    return default
