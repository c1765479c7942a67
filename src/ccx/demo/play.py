"""What is played: the acts, in their order."""

from __future__ import annotations

from ccx.demo.acts import (
    connection,
    drill,
    ending,
    lost_control_plane,
    lost_datastore,
    lost_machine,
    lost_table,
    opening,
)
from ccx.demo.choice import Choice
from ccx.demo.stage import Stage


def main_job(stage: Stage, choice: Choice, *, keep: bool) -> None:
    """From create to delete, with a failure in the middle."""
    settings = opening.start(stage, choice)
    opening.create(stage, settings, choice)
    connection.try_names(stage, settings, choice.client)
    lost_machine.survive(stage, settings, choice.client)
    if not keep:
        ending.delete(stage, settings)


def restores(stage: Stage, choice: Choice) -> None:
    """What is lost comes back: a table, a whole datastore, and the control plane."""
    settings = opening.start(stage, choice)
    opening.create(stage, settings, choice)
    lost_table.bring_back(stage, settings, choice.client)
    drill.prove(stage)
    lost_datastore.bring_back(stage, settings, choice.client)
    lost_control_plane.rebuild(stage, settings, choice.client)
