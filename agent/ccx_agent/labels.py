"""The labels of a datastore's nodes."""

from __future__ import annotations


def place(label: str) -> tuple[int, int]:
    """``n2g3`` -> (2, 3): the third in the second place. By it the older come first."""
    index, _, generation = label.removeprefix("n").partition("g")
    return int(index), int(generation)
