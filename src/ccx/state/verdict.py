"""What an observation means: the status that users read, and why. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ccx.cmon.spec import ClusterView, Role
from ccx.stores.models import Status

CERTIFICATE_WARNING = timedelta(days=7)


@dataclass(frozen=True)
class Verdict:
    status: Status
    why: str
    """Names node and cause; empty while all is well."""


def judge(
    view: ClusterView,
    *,
    size: int,
    certificates: dict[str, datetime],
    now: datetime,
    only_we: str | None = None,
    archive: Sequence[str] = (),
    backup_failed: Mapping[str, Any] | None = None,
) -> Verdict:
    """STARTED only while a primary accepts writes, replicas stream, a synchronous copy exists, certificates are valid.

    ``size`` is the number of nodes that there shall be, ``certificates`` each node's expiry by label. ``only_we`` is
    a node that the control plane alone can't reach: what the cluster says of it counts, not its silence to us.
    ``archive``: what is wrong with the log's way into the object store.
    ``backup_failed``: how the last backup failed, if it did; while there is none at all, that is a reason.
    """
    reasons = [*view.problems, *_certificates(certificates, now), *archive]
    if backup_failed is not None and backup_failed["again"]:
        reasons.append(
            f"the first backup failed, so nothing can be restored: {backup_failed['err']}; "
            f"it is tried again at {datetime.fromisoformat(backup_failed['again']):%H:%M} UTC"
        )
    if only_we is not None:
        reasons.append(f"only the control plane can't reach {only_we}: its peers do, so nothing is changed")
    leads = any(m.label == only_we and m.role is Role.PRIMARY for m in view.members)
    if only_we is not None and view.answered_by is None:
        # Nobody answers us, and those whom we can ask otherwise see the primary: it is we who don't know.
        return Verdict(Status.UNKNOWN, _join(reasons))
    if view.primary is None and not leads:
        return Verdict(Status.FAILURE, _join(reasons) or _silent(view))
    serving = [m for m in view.members if m.healthy]
    # A node that no longer answers is news only if the cluster has not said so itself.
    named = " ".join(reasons)
    reasons += [f"{label} does not answer the control plane" for label in view.unreachable if label not in named]
    if len(serving) < size and not reasons:
        reasons.append(f"{len(serving)} of {size} nodes serve")
    return Verdict(Status.DEGRADED if reasons else Status.STARTED, _join(reasons))


def _silent(view: ClusterView) -> str:
    who = ", ".join(view.unreachable)
    return f"no node answers the control plane ({who})" if view.answered_by is None else "no node is primary"


def _certificates(expiries: dict[str, datetime], now: datetime) -> list[str]:
    return [
        f"the certificate of {label} expires on {expiry:%Y-%m-%d %H:%M} UTC"
        if expiry > now
        else f"the certificate of {label} expired on {expiry:%Y-%m-%d %H:%M} UTC"
        for label, expiry in sorted(expiries.items())
        if expiry - now < CERTIFICATE_WARNING
    ]


def _join(reasons: Sequence[str]) -> str:
    return "; ".join(reasons)
