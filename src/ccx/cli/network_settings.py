"""Which settings a ``ccx network`` command is about: an instance's, or those of values files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from ccx.network.plan import Plan
    from ccx.settings.values import Finding


@dataclass(frozen=True)
class Planned:
    """A plan, and what is odd about the settings that it was made of."""

    plan: Plan
    warnings: tuple[Finding, ...] = ()


@Parameter(name="*")
@dataclass(frozen=True)
class SettingsFrom:
    """Where the settings come from."""

    values: Annotated[
        list[Path] | None,
        Parameter(
            negative=(), help="A Helm values file; several are merged as Helm does. Else an instance's settings."
        ),
    ] = None
    ccx_yaml: Annotated[Path | None, Parameter(help="A ccx.yaml: its config and deployer win over the values.")] = None
    lenient: Annotated[bool, Parameter(negative=(), help="Take settings that would be refused, with warnings.")] = False
    instance: Annotated[str, Parameter(help="The instance on this machine whose settings count.")] = "default"

    def given(self) -> Planned:
        """The plan; its warnings are said on standard error. Raises Invalid for settings that can't be right."""
        if not self.values and self.ccx_yaml is None:
            from ccx import settings
            from ccx.network.plan import plan

            return _said(plan(settings.load(self.instance)), ())
        return _read(self.values or [], self.ccx_yaml, self.lenient)


DEFAULT = SettingsFrom()


def read_plan(file: Path, lenient: bool) -> Plan:
    """The plan in a file: exported, or that of the settings in it."""
    from ccx.network import exported

    return exported.load(file) if exported.is_exported(file) else _read([file], None, lenient).plan


def _read(values: list[Path], ccx_yaml: Path | None, lenient: bool) -> Planned:
    from ccx.errors import CcxError, Invalid
    from ccx.network.plan import plan
    from ccx.settings.values import Finding, read

    given = read(values, ccx_yaml, lenient=lenient)
    problems: list[CcxError] = []
    found = plan(given.settings, problems=problems)
    kept = [Finding(given.origins.get(p.field or "", p.field or ""), p.err, p.remedy or "") for p in problems]
    if kept and not lenient:
        raise Invalid(kept[0].err, field=kept[0].field, remedy=kept[0].remedy)
    return _said(found, (*given.warnings, *kept))


def _said(found: Plan, warnings: tuple[Finding, ...]) -> Planned:
    from ccx.cli.output import say
    from ccx.network.findings import findings

    whole = tuple(dict.fromkeys([*warnings, *findings(found)]))
    for warning in whole:
        say(f"warning: {warning}")
    return Planned(found, whole)
