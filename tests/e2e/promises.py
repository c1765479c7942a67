"""What rows of the contract promise for when they are blocked. Each promise is kept by the tests that name its row."""

from __future__ import annotations

from ccx.network import catalogue


def promised(row: str, *words: str) -> None:
    """The declaration says so still: a test of another promise would prove nothing.

    ``row`` is written out where this is called: that every row of the main job has such a test is itself a test's to
    find (``tests/unit/test_network_promises.py``).
    """
    said = catalogue.load()[row].when_blocked
    for word in words:
        assert word in said, f"{row}: {said}"
