"""What a change of settings asks of a firewall: rules to add before it, and to remove after."""

from __future__ import annotations

from dataclasses import dataclass, field

from ccx.network.plan import Plan, Row


@dataclass(frozen=True, order=True)
class Rule:
    """One opening, as a firewall has it: a host behind a row's is one of its own."""

    plane: str
    direction: str
    host: str
    port: int
    transport: str
    row: Row = field(compare=False, hash=False)


@dataclass(frozen=True)
class Diff:
    add: tuple[Rule, ...]
    """Before the change, or what it turns on does not work."""
    remove: tuple[Rule, ...]
    """After the change, or what it turns off breaks too early."""


def diff(old: Plan, new: Plan) -> Diff:
    """From ``old`` to ``new``. Rows that differ in words only are no difference; nor is one that two rows need."""
    before, after = _rules(old), _rules(new)
    return Diff(
        add=tuple(sorted(after[rule] for rule in after.keys() - before.keys())),
        remove=tuple(sorted(before[rule] for rule in before.keys() - after.keys())),
    )


def _rules(plan: Plan) -> dict[Rule, Rule]:
    found: dict[Rule, Rule] = {}
    for row in plan.rows:
        for host in row.hosts:
            rule = Rule(row.plane.value, row.direction.value, host, row.port, row.protocol.transport, row)
            found.setdefault(rule, rule)
    return found
