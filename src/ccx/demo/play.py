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
from ccx.demo.stage import Stage


def main_job(stage: Stage, *, keep: bool) -> None:
    """From create to delete, with a failure in the middle."""
    settings = opening.start(stage)
    opening.create(stage, settings.client_address)
    connection.try_names(stage, settings)
    lost_machine.survive(stage, settings)
    if not keep:
        ending.delete(stage, settings)


def restores(stage: Stage) -> None:
    """What is lost comes back: a table, a whole datastore, and the control plane."""
    settings = opening.start(stage)
    opening.create(stage, settings.client_address)
    lost_table.bring_back(stage, settings)
    drill.prove(stage)
    lost_datastore.bring_back(stage, settings)
    lost_control_plane.rebuild(stage, settings)
