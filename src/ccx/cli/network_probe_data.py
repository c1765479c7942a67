"""``ccx network probe --from data``: a control plane is asked to try the plan from a node that it makes for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ccx.cli.options import Common
from ccx.cli.progress import follow, jobs_of


def probe_from_data(
    cloud: str, region: str, context: str | None, rows: Sequence[str], planned: bool
) -> Mapping[str, Any]:
    """The report, as soon as the node is gone again. Raises Failed when there is none."""
    wish = {"cloud": cloud, "region": region, "rows": list(rows), "planned": planned}
    with Common(context=context).api() as api:
        begun = api.post_once("/admin/network/probes", wish)
        follow(api, f"{jobs_of(begun['probe_uuid'])}/{begun['job_id']}")
        found: Mapping[str, Any] = api.get(f"/admin/network/probes/{begun['probe_uuid']}")["report"]
    return found
