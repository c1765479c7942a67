"""Whether a node reaches what it needs, asked of the node itself, before anything is installed or started on it."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import structlog

import ccx_probe
from ccx.cmon.endpoints import PHONE_HOME
from ccx.cmon.spec import NodeSpec
from ccx.errors import CcxError
from ccx.jobs import Step
from ccx.network import Mirror, Plane, Status
from ccx.network.endpoints import NODES as PROXY
from ccx.network.plan import Plan, plan
from ccx.network.probe import Outcome, Result, Target, judge, targets
from ccx.runner.services import Services
from ccx.runner.steps.servers import Action
from ccx.runner.subject import Subject, node_spec
from ccx.settings import Database, Settings
from ccx.storage.endpoints import to_a_store

_STARTING_S = 10.0
"""What connecting to the node and starting the agent may take, besides the attempts."""
_AGAIN_S = 3.0
"""For a second attempt: a deployment that can't succeed shall have failed, and be undone, within half a minute."""


log = structlog.get_logger()


class Blocked(CcxError):
    """A node can't reach what it needs. Trying again changes nothing before a rule does."""

    status = 502


def probe(services: Services, datastore_id: str, node_id: UUID) -> Action:
    """Fails, naming the row, when the node can't reach a required row of the plan that its bootstrap will use.

    An object store is not one of those: without it backups fail and datastores go on, so it is only told.
    """

    async def action(step: Step) -> None:
        subject = await Subject.load(services, datastore_id)
        node = subject.node(node_id)
        wanted = needed(services.settings, subject.datastore.cloud, subject.datastore.vendor, subject.datastore.version)
        outcomes = await ask(services, node_spec(node), wanted)
        if again := [outcome.target for outcome in outcomes if outcome.result is Result.FAILED]:
            # Once more: a busy network may lose a packet, and this fails the whole deployment.
            outcomes = await ask(services, node_spec(node), again, limit=_AGAIN_S)
        failed = [outcome for outcome in outcomes if outcome.result is Result.FAILED]
        if needed_now := fatal(failed):
            raise _blocked(node.label, needed_now)
        for outcome in failed:
            log.warning("a node can't reach its object store", node=node.label, row=outcome.row.id, reason=outcome.why)
            await step.progress(len(wanted) - len(failed), len(wanted), "hosts", f"{outcome.why}. {outcome.remedy}")

    return action


def fatal(failed: Sequence[Outcome]) -> list[Outcome]:
    """Those without which a node can't be set up; it can be without its object store, whoever runs that."""
    return [outcome for outcome in failed if not to_a_store(outcome.row)]


def needed(settings: Settings, cloud: str, vendor: str, version: str) -> list[Target]:
    """The targets of required rows that a new node of that vendor uses on that cloud."""
    found = of_node(settings, cloud, vendor, version)
    there = settings.cloud(cloud)
    rows = [
        row
        for row in found.select(Plane.DATA, status=Status.BUILT)
        # The node's report came from there a moment ago; and what nodes on a baked image have inside, they don't fetch.
        if row.required
        and row.id != PHONE_HOME.id
        and (row.mirror is not Mirror.APT_REPOSITORY or (there is not None and there.stock))
    ]
    if not any(row.via and not to_a_store(row) for row in rows):
        # Without the proxy backups fail, and their store's row says so. Nothing else that a node does now goes by it.
        rows = [row for row in rows if row.id != PROXY.id]
    return [target for target in targets(found, rows) if target.request is not None]


def of_node(settings: Settings, cloud: str, vendor: str = "", version: str = "") -> Plan:
    """The plan as if there were this cloud and vendor alone (all vendors on offer, if none is named)."""
    change: dict[str, object] = {"clouds": tuple(c for c in settings.clouds if c.code == cloud)}
    if vendor:
        change["databases"] = (Database(code=vendor, name=vendor, versions=(version,), num_nodes=(), types=()),)
    return plan(settings.model_copy(update=change))


async def ask(
    services: Services,
    node: NodeSpec,
    wanted: Sequence[Target],
    step: Step | None = None,
    *,
    limit: float = ccx_probe.LIMIT_S,
) -> list[Outcome]:
    """Has the node try the targets, each for ``limit`` seconds at most. ``step`` is told how many are done."""
    requests = {target.key: target.request for target in wanted if target.request is not None}
    done = 0

    async def came(_: object) -> None:
        nonlocal done
        done += 1
        if step is not None:
            await step.progress(done, len(requests), "hosts")

    args = {
        "requests": [request.to_json() for request in requests.values()],
        "proxy": services.settings.egress_proxy,
        "ca": services.installation.ca,
        "limit": limit,
    }
    rounds = 1 + len(requests) // ccx_probe.PARALLEL
    patience = _STARTING_S + rounds * limit
    answer = await services.channel.call(node, "probe", args, timeout=patience, progress=came) if requests else {}
    answers = {a["key"]: ccx_probe.Answer.from_json(a) for a in answer.get("answers", ())}
    return [judge(target, answers[target.key] if target.request else None) for target in wanted]


def _blocked(label: str, failed: Sequence[Outcome]) -> Blocked:
    """One error for all, so that they are mended together."""
    first = failed[0]
    rows: dict[str, list[str]] = {}
    for outcome in failed:
        rows.setdefault(f"{outcome.target.host}:{outcome.row.port}", []).append(outcome.row.id)
    where = ", ".join(f"{there} ({', '.join(ids)})" for there, ids in rows.items())
    remedies = "; ".join(dict.fromkeys(outcome.remedy for outcome in failed))
    return Blocked(
        f"node {label} can't reach {where}: {first.why}",
        remedy=f"{remedies}. While it is blocked: {first.row.when_blocked}",
    )
