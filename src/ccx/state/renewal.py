"""When a datastore's certificates are replaced. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

KIND = "rotate_certificates"
"""The operation that replaces them."""

BEFORE = timedelta(days=60)
"""So long before the first one expires; users are warned when a week is left, so there are weeks for trying again."""

PAUSE = timedelta(hours=6)
"""From one try to the next."""


def due(expiries: Iterable[datetime], now: datetime) -> bool:
    """Whether the first of them expires soon."""
    return any(expiry - now < BEFORE for expiry in expiries)


def again(tried: Iterable[datetime], now: datetime) -> bool:
    """Whether the last try was long enough ago, or there was none."""
    return all(now - at >= PAUSE for at in tried)
