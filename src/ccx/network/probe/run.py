"""Trying targets from this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ccx_probe
from ccx.errors import Invalid
from ccx.network.probe.outcome import Outcome, judge
from ccx.network.probe.targets import Target


def run(
    targets: Sequence[Target],
    report: Callable[[Outcome], None] | None = None,
    *,
    limit: float = ccx_probe.LIMIT_S,
    proxy: str = "",
    ca: str = "",
) -> list[Outcome]:
    """The outcomes, in the order of the targets. Blocks: from a program with a loop, call it in a thread.

    Args:
        report: called with each outcome as it comes.
        limit: seconds that one attempt may take.
        proxy: URL of the egress proxy; it shows in no outcome.
        ca: PEM of the installation's CA.
    """
    by_key = {target.key: target for target in targets if target.request is not None}
    outcomes: dict[str, Outcome] = {}

    def came(answer: ccx_probe.Answer) -> None:
        outcomes[answer.key] = judge(by_key[answer.key], answer)
        if report is not None:
            report(outcomes[answer.key])

    requests = [target.request for target in by_key.values() if target.request is not None]
    try:
        ccx_probe.probe(requests, came, limit=limit, proxy=proxy, ca=ca)
    except ValueError:
        raise Invalid(
            "the probe can't go by this proxy",
            field="egress_proxy",
            remedy="Write it as http://user:password@host:port",
        ) from None
    return [outcomes[t.key] if t.request is not None else judge(t, None) for t in targets]
