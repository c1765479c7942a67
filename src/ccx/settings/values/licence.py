"""``cmon.license``: base64 in the ccx chart's values, plain text in the clustercontrol chart's."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from ccx.settings.values.findings import Findings


def check(values: Mapping[str, Any], file: str, findings: Findings) -> None:
    """Refuses the form that belongs to the other chart. ``values`` are one file's, before they are merged."""
    cmon = values.get("cmon")
    licence = cmon.get("license") if isinstance(cmon, dict) else None
    if licence in (None, ""):
        return
    field = f"{file}: cmon.license"
    if not isinstance(licence, str):
        findings.refuse(field, "a licence is text", "Put it in quotes")
    elif is_ccx(values):
        if _decoded(licence) is None:
            findings.refuse(
                field, "the licence is plain text, and the ccx chart takes base64 (it becomes a Secret's data)",
                "Encode it: base64 -w0 licence.txt",
            )  # fmt: skip
    elif _is_encoded(licence):
        findings.refuse(
            field, "the licence is base64, and the clustercontrol chart takes plain text (it becomes stringData)",
            "Decode it: base64 -d. In a file of ccx values, which has ccx: or ccxFQDN:, base64 is right",
        )  # fmt: skip


def is_ccx(values: Mapping[str, Any]) -> bool:
    """Whether a file with a licence is the ccx chart's; else it is the clustercontrol chart's."""
    return bool(values.keys() & {"ccx", "ccxFQDN", "ccFQDN"})


def _decoded(text: str) -> str | None:
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def _is_encoded(text: str) -> bool:
    # A licence is itself base64 of JSON, so what decodes to JSON is the licence, not its encoding.
    decoded = _decoded(text)
    if not decoded or decoded.lstrip().startswith("{"):
        return False
    return all(character.isprintable() or character.isspace() for character in decoded)
