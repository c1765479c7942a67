"""What an engine that can back up does. Which tool it uses stays its own: another can take its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from ccx.storage import Credentials, Location

if TYPE_CHECKING:
    from ccx.cmon.node_channel import NodeChannel, Progress
    from ccx.cmon.spec import ClusterSpec


class Kind(StrEnum):
    FULL = "full"
    INCREMENTAL = "incremental"
    """What changed since the newest backup; a full one where there is none."""


@dataclass(frozen=True, repr=False)
class Repository:
    """Where one datastore's backups and log go, and how. No repr: it holds secrets."""

    location: Location
    ca: str
    """PEM of the CA that signs the store's certificate; empty: one that every system knows."""
    prefix: str
    """Of all its keys there, ``…/``; its credentials are good for nothing else."""
    credentials: Credentials
    cipher: str
    """What backups are encrypted with, on the node. Without it they are worth nothing."""


@dataclass(frozen=True)
class Backup:
    """A backup in the store, as the tool knows it."""

    id: str
    parent: str | None
    """The one that an incremental backup builds on."""
    kind: Kind
    started: datetime
    ended: datetime
    size: int
    """Bytes of the database."""
    stored: int
    """Bytes that it added to the store."""
    good: bool
    """The tool found no page with a wrong checksum."""
    log: tuple[str, str] | None = None
    """The first and last segment of the log that it needs to be whole."""
    lsn: str | None = None
    """Where in the log it is whole."""
    xid: int | None = None
    """Transactions from this one on ended after it; None: nobody asked."""
    node: str | None = None
    """Label of the node that copied it; None: nobody noted it."""
    tool: str | None = None
    """What made it; None: what makes all of the engine's."""


@dataclass(frozen=True, repr=False)
class Origin:
    """What the data of a new cluster comes from. No repr: it holds secrets."""

    repository: Repository
    """The other datastore's, with keys that may only read."""
    name: str
    """Short id of the other datastore."""
    backup: str
    """Id of the backup to begin with."""
    to: datetime | None = None
    """What was committed until then is there, and nothing later. None: as far as the log goes."""
    at_once: bool = False
    """As the backup is, with no more of the log than makes it whole."""
    path: tuple[tuple[int, str], ...] = ()
    """From which of the engine's timelines on the log is under which name, if not all of it under ``name``."""
    before_lsn: str = ""
    """What was committed before this place in the log is there, and nothing from it on."""
    before_xid: int | None = None
    """What was committed before this transaction is there, and nothing from it on."""
    point: str = ""
    """To where :meth:`Proves.count` marked the log, and no further."""


@dataclass(frozen=True)
class Findings:
    """What reading the store through found."""

    checked: tuple[str, ...]
    """Ids of the backups that were looked at."""
    damaged: Mapping[str, str]
    """What is wrong with a backup, by its id: names the object. Not with those that it builds on."""
    log: tuple[tuple[str, str], ...] = ()
    """First and last segment of each part of the log that is there without a gap."""
    damaged_log: Mapping[str, str] = field(default_factory=dict)
    """What is wrong with a segment of the log, by its name."""
    until: Mapping[str, datetime] = field(default_factory=dict)
    """Until when the log behind a backup goes, where it breaks off: of engines whose log is in no numbered segments."""


@dataclass(frozen=True)
class ArchiveState:
    waits: float
    """For how many seconds the oldest finished part of the log has been waiting to get into the store."""
    newest: datetime | None = None
    """When the newest part came there; None: not known."""
    waiting: int = 0
    """Bytes of the log that wait on the primary's volume."""
    volume: int = 0
    """Size of that volume in bytes; 0: not known."""
    free: int = 0
    """Of which so many are free."""
    given_up: int = 0
    """Segments that the primary's node noted as given up, so that the volume doesn't fill, or as lost with a node. It
    forgets them with the next full backup, and another primary may know nothing of them."""
    given_up_since: datetime | None = None
    given_up_last: datetime | None = None
    """When the newest of them was."""


@runtime_checkable
class Proves(Protocol):
    """An engine whose backups can be proved good; needs the same as :class:`BacksUp`."""

    async def read_through(
        self, channel: NodeChannel, cluster: ClusterSpec, name: str, backup: str | None, token: int, progress: Progress
    ) -> Findings:
        """Reads that backup and the log that it needs, or everything in the store, against the checksums of old.

        An earlier call with this ``name`` is gone on with; what one of another name found is nobody's any more.
        """

    async def count(self, channel: NodeChannel, cluster: ClusterSpec, point: str, token: int) -> dict[str, Any]:
        """Counts rows for a few seconds, and marks the log so that ``Origin.point`` can restore to that moment.

        ``{"point", "exact", "rows": {"database.schema.table": count}}``; not ``exact`` while many write.
        Returns when everything up to the mark is in the store.
        """

    async def recount(self, channel: NodeChannel, cluster: ClusterSpec, tables: Sequence[str]) -> dict[str, int]:
        """The rows of those tables now; those that are not there are left out."""


@runtime_checkable
class HandsOver(Protocol):
    """An engine one of whose clusters can take another's place; needs the same as :class:`BacksUp`."""

    async def stop(self, channel: NodeChannel, cluster: ClusterSpec, token: int) -> None:
        """Ends the engine on all nodes that answer, in an order in which nobody else becomes primary.

        What was acknowledged is in the store's log then, if the store can be reached. A machine that is started again
        starts the engine too.
        """

    async def start_again(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        """Starts it on a node where :meth:`stop` ended it."""


@runtime_checkable
class TellsPosition(Protocol):
    """An engine that can say how far a restore can go; needs the same as :class:`BacksUp`."""

    async def log_position(self, channel: NodeChannel, cluster: ClusterSpec) -> tuple[str, int]:
        """Where the primary's log ends now, and the id that its next transaction gets."""


@runtime_checkable
class NumbersTransactions(Protocol):
    """An engine whose places in the log are numbered transactions; needs the same as :class:`BacksUp`."""

    async def transaction_at(self, channel: NodeChannel, cluster: ClusterSpec, number: int) -> str | None:
        """What the transaction of that number is called in full; None where the primary's own log no longer has it."""


@runtime_checkable
class BacksUp(Protocol):
    """An engine that can. ``cluster.backup`` says where to.

    What it does to nodes with a token is for jobs of the side lane: others change the same cluster meanwhile.
    """

    written_last: str
    """Of what a backup has in the store, below ``backup/<name>/<id>/``, the object that makes it complete."""

    async def configure_backups(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        """Gives a node its way to the store, and changes nothing else on it. ``configure`` does so too."""

    async def start_archiving(self, channel: NodeChannel, cluster: ClusterSpec, token: int) -> None:
        """From now on the log goes to the store, every minute at least. Returns when some has arrived there."""

    async def back_up(
        self, channel: NodeChannel, cluster: ClusterSpec, name: str, kind: Kind, token: int, progress: Progress
    ) -> Backup:
        """Makes a backup, or finds the one that an earlier call with this ``name`` made or is making.

        Where, is the engine's to choose: on a replica, if one is good for it.

        ``progress`` tells ``done`` and ``total`` bytes. Raises :class:`~ccx.cmon.backup.trouble.StoreTrouble`, with
        cause and remedy, for what may be over later.
        """

    async def end_backup(self, channel: NodeChannel, cluster: ClusterSpec, name: str, token: int) -> None:
        """Ends a backup that is being made, wherever that is; nothing of it looks complete. Nodes may be away."""

    async def backups(self, channel: NodeChannel, cluster: ClusterSpec) -> list[Backup]:
        """All that are complete in the store, oldest first."""

    async def expire(self, channel: NodeChannel, cluster: ClusterSpec, remove: Sequence[str], token: int) -> None:
        """Removes these backups, the oldest that there are, and what of the log only they need."""

    async def archive_now(self, channel: NodeChannel, cluster: ClusterSpec, token: int) -> None:
        """Returns when everything that is committed now can be restored, to any time up to now."""

    async def archive_state(self, channel: NodeChannel, cluster: ClusterSpec) -> ArchiveState:
        """How far behind the log's way into the store is."""

    async def follow_restore(self, channel: NodeChannel, cluster: ClusterSpec, progress: Progress) -> None:
        """After ``start`` of a cluster with an origin: returns when its primary serves. CcxError when it never will."""

    async def forget_origin(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        """Removes from a node what it had to know of the origin."""

    async def verify(self, channel: NodeChannel, cluster: ClusterSpec, token: int) -> dict[str, Any]:
        """Has the engine check everything on the primary; what it counted there. CcxError with what is wrong."""
