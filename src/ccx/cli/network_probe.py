"""``ccx network probe``: the plan, tried."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ccx.cli.exits import Exit
from ccx.cli.network_settings import DEFAULT, SettingsFrom
from ccx.cli.options import Output
from ccx.errors import Invalid, NotFound

if TYPE_CHECKING:
    from ccx.cli.output import Column
    from ccx.network.plan import Plan
    from ccx.network.probe import Outcome, Target

Item = Mapping[str, Any]


class From(StrEnum):
    """Where it is tried from."""

    HERE = "here"
    DATA = "data"


_COLUMNS: list[Column] = [
    ("ID", "id"),
    ("HOST", "host"),
    ("PORT", "port"),
    ("RESULT", "result"),
    ("NEEDED", lambda o: _needed(o)),
    ("TIME", lambda o: _time(o)),
    ("CERTIFICATE", lambda o: _certificate(o)),
    ("WHY", "why"),
]


def probe(
    *,
    plane: Annotated[
        list[str] | None, Parameter(negative=(), help="Only these planes: control, data, browser, install.")
    ] = None,
    only: Annotated[list[str] | None, Parameter(negative=(), help="Only the row of this id.")] = None,
    planned: Annotated[
        bool, Parameter(negative=(), help="Let rows of services that are not built yet count as well.")
    ] = False,
    limit: Annotated[float, Parameter(help="Seconds that one attempt may take, at most 5.")] = 5.0,
    from_: Annotated[
        From, Parameter(name="--from", help="Try from here, or from a temporary node in the datastores' network.")
    ] = From.HERE,
    cloud: Annotated[str, Parameter(help="With --from data: the cloud that the node is made on.")] = "",
    region: Annotated[str, Parameter(help="With --from data: the region; the cloud's first, if not given.")] = "",
    context: Annotated[str | None, Parameter(help="With --from data: the control plane to ask.")] = None,
    settings: SettingsFrom = DEFAULT,
    output: Annotated[Output, Parameter(name=["--output", "-o"], help="How the result is printed.")] = Output.TABLE,
) -> int:
    """Try the plan's outbound rows: name, connection, certificate, HTTP answer; by the egress proxy where one is set.

    Ends with 1 when a required row fails, and says which rule to add and what breaks without it.

    Try:
      ccx network probe --values ccx.yaml
      ccx network probe --plane control --output json
      ccx network probe --from data --cloud local
    """
    if not 0 < limit <= 5:
        raise Invalid(f"{limit:g} s is no limit for an attempt", field="limit", remedy="Give more than 0 and at most 5")
    if from_ is From.DATA:
        if plane:
            raise Invalid(
                "a node tries the rows of nodes", field="plane", remedy="Leave it out, or name rows by --only"
            )
        from ccx.cli.network_probe_data import probe_from_data

        items = probe_from_data(cloud, region, context, only or [], planned)
    else:
        if cloud or region:
            raise Invalid("this is for --from data", field="cloud" if cloud else "region", remedy="Add --from data")
        items = _probe_here(settings, plane, only, planned, limit)
    return show(items, output, planned)


def show(document: Item, output: Output, planned: bool) -> int:
    """Prints a probe's document, and on standard error what has to be done. Returns the exit code."""
    from ccx.cli.output import document as print_document
    from ccx.cli.output import rows, say

    outcomes: list[Item] = document["outcomes"]
    if output is not Output.TABLE:
        print_document(document, output)
    else:
        rows(outcomes, _COLUMNS, output, empty="The plan has no outbound row to try.")
    failed = [o for o in outcomes if o["result"] == "failed"]
    for outcome in failed:
        if counts(outcome, planned):
            say(f"\n{outcome['id']}: {outcome['why']}")
            is_rule = outcome["remedy"].lower() == outcome["rule"].lower()
            say(f"  rule to add:  {outcome['rule']}" if is_rule else f"  to do:        {outcome['remedy']}")
            say(f"  what breaks:  {outcome['when_blocked']}")
    worked = sum(o["result"] == "ok" for o in outcomes)
    required = sum(counts(o, planned) for o in failed)
    say(
        f"\nfrom {document['from']}: {worked} work, {len(failed)} failed ({required} of them required), "
        f"{len(outcomes) - worked - len(failed)} not probed"
    )
    return Exit.OK if document["ok"] else Exit.FAILED


def counts(outcome: Item, planned: bool) -> bool:
    """Whether a failed row makes the whole fail."""
    return bool(outcome["required"]) and (planned or outcome["status"] == "built")


def _probe_here(
    settings: SettingsFrom, plane: Sequence[str] | None, only: Sequence[str] | None, planned: bool, limit: float
) -> Item:
    from ccx.cli.network import planes
    from ccx.network.probe import document, run, targets

    plan = settings.given().plan
    rows = plan.select(*planes(plane))
    if only:
        for id_ in only:
            if not any(row.id == id_ for row in rows):
                raise NotFound(
                    f"the plan has no row {id_!r}", field="only", remedy="List them: ccx network plan -o json"
                )
        rows = tuple(row for row in rows if row.id in only)
    wanted = targets(plan, rows)
    with _progress(wanted) as report:
        outcomes = run(wanted, report, limit=limit, proxy=_proxy(plan), ca=_ca(plan))
    return document(outcomes, where="this machine", planned=planned)


def _proxy(plan: Plan) -> str:
    """Values files' proxy comes without its password, so the environment may have both."""
    named = plan.settings.egress_proxy if plan.settings else ""
    return os.environ.get("CCX_EGRESS_PROXY") or named if named else ""


def _ca(plan: Plan) -> str:
    """The installation's own, where the settings are those of one on this machine."""
    if plan.settings is not None:
        with suppress(OSError):
            return (plan.settings.paths.etc / "ca.crt").read_text()
    return ""


def _progress(wanted: Sequence[Target]) -> AbstractContextManager[Callable[[Outcome], None] | None]:
    """On a terminal, a table that fills as answers come; nothing elsewhere."""
    if not sys.stderr.isatty():
        return nullcontext()
    from ccx.cli.network_probe_live import LiveProbe

    return LiveProbe(wanted)


def _needed(outcome: Item) -> str:
    if outcome["status"] != "built":
        return "planned"
    return "required" if outcome["required"] else "optional"


def _time(outcome: Item) -> str:
    seconds = outcome.get("seconds") or {}
    return f"{sum(seconds.values()) * 1000:.0f} ms" if seconds else ""


def _certificate(outcome: Item) -> str:
    shown = outcome.get("certificate")
    return f"{shown['days']} days, by {shown['root']}" if shown else ""
