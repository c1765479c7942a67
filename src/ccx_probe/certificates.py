"""Who issued a certificate and until when it holds, read from its bytes.

The standard library tells that of certificates that it trusts, and nothing of others, which are those in question.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timezone

from .model import Certificate

_COMMON_NAME = bytes.fromhex("550403")
_ORGANISATION = bytes.fromhex("55040a")
_UNIT = bytes.fromhex("55040b")
_ALTERNATIVE_NAMES = bytes.fromhex("551d11")
_UTC_TIME = 0x17
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_DNS_NAME = 0x82
_MOST_NAMES = 5
UTC = timezone.utc  # noqa: UP017 - the same, and older readers know it


def described(chain: Sequence[bytes], now: datetime) -> Certificate:
    """Of a chain as the server sends it, the server's own certificate (DER) first. Raises ValueError for garbage."""
    issuer, subject, ends, names = _read(chain[0])
    try:
        root = _read(chain[-1])[0]
    except ValueError:
        root = issuer
    return Certificate(subject, issuer, root, ends.date().isoformat(), (ends - now).days, names)


def _read(der: bytes) -> tuple[str, str, datetime, tuple[str, ...]]:
    """Issuer, subject, end of validity, and names."""
    try:
        (_, outer), *_ = _elements(der)
        (_, body), *_ = _elements(outer)
        parts = [part for part in _elements(body) if part[0] != _VERSION]
        _, _, (_, issuer), (_, validity), (_, subject), *rest = parts
        _, ends = _elements(validity)
        extensions = next((content for tag, content in rest if tag == _EXTENSIONS), b"")
        return _name(issuer), _name(subject), _time(*ends), _alternative_names(extensions)
    except (ValueError, IndexError, OverflowError):
        raise ValueError("this is no certificate") from None


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each DER element in ``data``."""
    at = 0
    while at < len(data):
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            count = length & 0x7F
            length = int.from_bytes(data[at : at + count], "big")
            at += count
        if at + length > len(data):
            raise ValueError("it is cut off")
        yield tag, data[at : at + length]
        at += length


def _name(content: bytes) -> str:
    """For people: the common name with the organisation, or what there is of both."""
    found: dict[bytes, str] = {}
    for _, group in _elements(content):
        for _, pair in _elements(group):
            (_, kind), (tag, value) = _elements(pair)
            encoding = "utf-16-be" if tag == 0x1E else "utf-8"
            text = value.decode(encoding, "replace")
            found.setdefault(kind, "".join(c if c.isprintable() else " " for c in text))
    common, organisation = found.get(_COMMON_NAME, ""), found.get(_ORGANISATION) or found.get(_UNIT, "")
    return f"{common} ({organisation})" if common and organisation else common or organisation or "nobody in particular"


def _time(tag: int, value: bytes) -> datetime:
    text = value.decode("ascii")
    if tag == _UTC_TIME:  # two digits: 1950 to 2049
        text = ("19" if int(text[:2]) >= 50 else "20") + text
    return datetime.strptime(text.rstrip("Z")[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)


def _alternative_names(content: bytes) -> tuple[str, ...]:
    for _, extensions in _elements(content):
        for _, extension in _elements(extensions):
            (_, kind), *_, (_, value) = _elements(extension)
            if kind == _ALTERNATIVE_NAMES:
                (_, names), *_ = _elements(value)
                found = [name.decode("ascii", "replace") for tag, name in _elements(names) if tag == _DNS_NAME]
                return tuple(found[:_MOST_NAMES])
    return ()
