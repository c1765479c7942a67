"""Asks what is outside of this machine whether it answers: from here, and from where the control plane lives."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from ccx.embedded.external import Destination
from ccx.embedded.layout import Layout
from ccx.embedded.namespace import connection_error
from ccx.errors import CcxError


async def check(layout: Layout, destinations: Iterable[Destination]) -> dict[Destination, CcxError]:
    """Those that do not answer, from here or from the namespace."""
    asked = list(destinations)
    answers = await asyncio.gather(*(_problem(layout, one) for one in asked))
    return {one: problem for one, problem in zip(asked, answers, strict=True) if problem is not None}


async def _problem(layout: Layout, one: Destination) -> CcxError | None:
    if (reason := await connection_error((one.host, one.port))) is not None:
        return CcxError(
            f"{one.needed_by}: {one.host}:{one.port} does not answer: {reason}",
            remedy=f"Start it, or correct {layout.etc / 'ccx.yaml'}",
            status=503,
        )
    if (reason := await connection_error((one.host, one.port), layout.namespace_file)) is not None:
        return _unreachable(one, reason, layout)
    return None


def _unreachable(destination: Destination, reason: str, layout: Layout) -> CcxError:
    """The error for a destination that this machine itself reaches, and the control plane doesn't."""
    return CcxError(
        f"{destination.needed_by}: {destination.host}:{destination.port} does not answer the control plane: {reason}",
        remedy=f"Let this machine's firewall forward from {layout.outside_link} ({layout.outside}), if it has one",
        status=503,
    )
