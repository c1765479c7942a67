"""Section 4: Google's object storage. It has an API of its own beside S3's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccx.network import Direction, Mirror, Plane, Protocol, Status, When, declare

if TYPE_CHECKING:
    from ccx.settings import Settings


def _on_gcp(settings: Settings) -> bool:
    return any(cloud.type == "gcp" and cloud.s3 and not cloud.s3_endpoint for cloud in settings.clouds)


for _plane, _service, _blocked in (
    (Plane.CONTROL, "ccx-runner-service", "backups can't be listed or removed; datastores and their backups go on"),
    (Plane.DATA, "database nodes", "backups and restores fail and say so; datastores go on"),
):
    declare(
        id=f"backup.gcs.{_plane}", section=None, host="storage.googleapis.com", ports=443, protocol=Protocol.HTTPS,
        reason="The specification's table of object stores leaves Google's out", direction=Direction.OUTBOUND,
        plane=_plane, needed=When(_on_gcp, "backups of a cloud of type gcp go to Cloud Storage"), service=_service,
        purpose="backup upload and restore (Google Cloud Storage)", behind=("oauth2.googleapis.com",),
        mirror=Mirror.OBJECT_STORE, when_blocked=_blocked, status=Status.PLANNED,
    )  # fmt: skip
