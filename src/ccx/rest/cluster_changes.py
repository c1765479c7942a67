"""Changes to a datastore. Clients send all keys each time: empty text, 0 and null mean unchanged."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from ccx.errors import Invalid
from ccx.rest import names, offer
from ccx.rest.cluster_orders import Count, Notifications, Tags
from ccx.rest.schema import AnyText, Body, Text
from ccx.settings import Settings
from ccx.stores import datastores, outbox
from ccx.stores.models import Datastore

_LATER = "Resizing is not possible yet: make a new datastore of the other size and move the data"


class VolumeChange(Body):
    new_volume_type: Text = ""
    new_volume_iops: Count = 0
    new_volume_size: Count = 0


class NewNode(Body):
    instance_size: Text = ""
    availability_zone: Text = ""


class AddNodes(Body):
    specs: Annotated[list[NewNode], Field(max_length=100)] | None = None


class RemoveNodes(Body):
    node_uuids: Annotated[list[Text], Field(max_length=100)] | None = None


class Maintenance(Body):
    """When a node may be restarted for updates, UTC."""

    day_of_week: Annotated[int, Field(ge=1, le=7)]
    """1 is Monday."""
    start_hour: Annotated[int, Field(ge=0, le=23)]
    end_hour: Annotated[int, Field(ge=0, le=23)]


class Changes(Body):
    cluster_name: AnyText | None = None
    tags: Tags | None = None
    """An empty list removes all."""
    new_instance_size: Text | None = None
    new_volume_size: Count | None = None
    """GiB."""
    change_volume: VolumeChange | None = None
    add_nodes: AddNodes | None = None
    remove_nodes: RemoveNodes | None = None
    notifications: Notifications | None = None
    maintenance_settings: Maintenance | None = None


async def apply(settings: Settings, tx: AsyncSession, datastore: Datastore, changes: Changes) -> None:
    """Writes the changes. Raises Invalid, Conflict before anything is changed, or in a transaction that is not kept."""
    _refuse_resizing(settings, datastore, changes)
    if changes.cluster_name and changes.cluster_name != datastore.name:
        names.check_datastore(changes.cluster_name, "cluster_name")
        await datastores.rename(tx, datastore, changes.cluster_name)
    new: dict[str, Any] = {}
    if changes.tags is not None:
        new["tags"] = changes.tags
    if changes.notifications is not None:
        new["notifications"] = changes.notifications.row("notifications")
    if changes.maintenance_settings is not None:
        new["maintenance"] = _window(changes.maintenance_settings)
    changed = [field for field, value in new.items() if getattr(datastore, field) != value]
    for field in changed:
        setattr(datastore, field, new[field])
    if changed:
        outbox.emit(tx, datastore.id, "changed", {"fields": changed})


def _window(window: Maintenance) -> dict[str, Any]:
    if (window.end_hour - window.start_hour) % 24 < 1:
        raise Invalid(
            "the window has no length",
            field="maintenance_settings.end_hour",
            remedy="Let it end at another hour than it begins; 22 to 0 is fine",
        )
    return window.model_dump()


def _refuse_resizing(settings: Settings, datastore: Datastore, changes: Changes) -> None:
    """What is asked for anew but is so already passes: clients repeat themselves."""
    if changes.new_instance_size:
        cloud = offer.cloud(settings, datastore.cloud)
        wanted = offer.instance(cloud, changes.new_instance_size, "new_instance_size")
        if wanted.code != datastore.instance_size:
            raise Invalid("nodes can't change their size", field="new_instance_size", remedy=_LATER)
    _refuse_volume_size(datastore, changes.new_volume_size, "new_volume_size")
    if changes.change_volume is not None:
        wanted_type = changes.change_volume.new_volume_type
        if wanted_type and wanted_type.lower() != datastore.volume_type.lower():
            raise Invalid("volumes can't change their type", field="change_volume.new_volume_type", remedy=_LATER)
        if changes.change_volume.new_volume_iops not in (0, datastore.volume_iops):
            raise Invalid("volumes can't change their IOPS", field="change_volume.new_volume_iops", remedy=_LATER)
        _refuse_volume_size(datastore, changes.change_volume.new_volume_size, "change_volume.new_volume_size")
    if changes.add_nodes and changes.add_nodes.specs:
        raise Invalid("nodes can't be added", field="add_nodes.specs", remedy=_LATER)
    if changes.remove_nodes and changes.remove_nodes.node_uuids:
        raise Invalid("nodes can't be removed", field="remove_nodes.node_uuids", remedy=_LATER)


def _refuse_volume_size(datastore: Datastore, size: int | None, field: str) -> None:
    if not size or size == datastore.volume_size:
        return
    if size < datastore.volume_size:
        raise Invalid(
            f"{size} GiB is less than the {datastore.volume_size} GiB it has; volumes can't shrink",
            field=field,
            remedy="Make a new datastore with smaller volumes and move the data",
        )
    raise Invalid("volumes can't grow", field=field, remedy=_LATER)
