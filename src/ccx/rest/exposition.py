"""Metrics as Prometheus reads them: what users could get back, and how long that takes."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.ext.asyncio import AsyncSession

from ccx.db import utc_now
from ccx.recovery.status import CopyStatus
from ccx.runner import reports
from ccx.stores import backups, datastores
from ccx.stores.models import Datastore, Status

_LABELS = ("datastore", "name", "cloud")


async def exposition(tx: AsyncSession, var: Path) -> str:
    """The text that Prometheus reads: of each datastore its status, its backups and what is proved of them.

    ``var`` is where the control plane keeps its state: how its own copy is, too.
    """
    registry = CollectorRegistry()
    registry.register(_Fixed([*await _families(tx), *_own_copy(var)]))
    return generate_latest(registry).decode()


class _Fixed(Collector):
    """What was read already."""

    def __init__(self, families: list[GaugeMetricFamily]) -> None:
        self._families = families

    def collect(self) -> list[GaugeMetricFamily]:
        return self._families


async def _families(tx: AsyncSession) -> list[GaugeMetricFamily]:
    gauges = {
        name: GaugeMetricFamily(f"ccx_{name}", text, labels=_LABELS)
        for name, text in {
            "datastore_started": "1 while the datastore is STARTED, else 0",
            "backups": "complete backups in the object store",
            "backups_unusable": "of them, those that can't be restored",
            "backup_newest_timestamp_seconds": "when the newest backup that can be restored ended",
            "backup_verified_timestamp_seconds": "when that one was last read through",
            "backup_failed_timestamp_seconds": "when the last backup failed; absent unless it did",
            "backup_proved_timestamp_seconds": "when a drill last restored a backup and found it good",
            "backup_proved_age_seconds": "for how long that has been so",
            "backup_drill_failed": "1 if the last drill failed, else 0; absent before the first",
            "recovery_point_timestamp_seconds": "when the newest part of the log came into the object store",
            "recovery_seconds": "from the order of the last good drill until what it restored served",
        }.items()
    }
    for datastore in await datastores.living(tx):
        known, _ = await backups.of(tx, datastore.id)
        for name, value in _values(datastore, reports.report(datastore, known)).items():
            if value is not None:
                gauges[name].add_metric((str(datastore.id), datastore.name, datastore.cloud), value)
    return list(gauges.values())


def _values(datastore: Datastore, found: reports.Report) -> dict[str, float | None]:
    proved = found.proved.timestamp() if found.proved else None
    failed = reports.when(found.failed["at"]) if found.failed else None
    return {
        "datastore_started": float(datastore.status is Status.STARTED),
        "backups": found.backups,
        "backups_unusable": found.backups - found.usable,
        "backup_newest_timestamp_seconds": found.newest.timestamp() if found.newest else None,
        "backup_verified_timestamp_seconds": found.verified.timestamp() if found.verified else None,
        "backup_failed_timestamp_seconds": failed.timestamp() if failed else None,
        "backup_proved_timestamp_seconds": proved,
        "backup_proved_age_seconds": utc_now().timestamp() - proved if proved else None,
        "backup_drill_failed": float(found.drill_err is not None) if found.drilled else None,
        "recovery_point_timestamp_seconds": found.recovery_point.timestamp() if found.recovery_point else None,
        "recovery_seconds": found.recovery_seconds,
    }


def _own_copy(var: Path) -> list[GaugeMetricFamily]:
    """Nothing where the database is not ours to copy."""
    status = CopyStatus.load(var)
    if status is None or not status.kept:
        return []
    complete = status.complete
    values = {
        "copy_timestamp_seconds": ("up to when the control plane's copy in the object store is complete", complete),
        "copy_age_seconds": (
            "how long ago that was: what a recovery would lose",
            None if complete is None else utc_now().timestamp() - complete,
        ),
        "copy_base_timestamp_seconds": ("when its newest base copy was begun", status.base),
        "copy_failed": ("1 if the last try to put something there failed, else 0", float(bool(status.failed))),
        "claim_unheard": ("1 while newer claims can't be seen, else 0", float(bool(status.unheard))),
    }
    return [
        GaugeMetricFamily(f"ccx_control_plane_{name}", text, value=value)
        for name, (text, value) in values.items()
        if value is not None
    ]
