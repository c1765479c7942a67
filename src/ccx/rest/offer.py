"""What is on offer here: vendors, versions, topologies, clouds, sizes, volumes; and what clients call them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TypeVar

from ccx.cmon.engines.base import Engine, Engines
from ccx.errors import Invalid
from ccx.settings import CloudConfig, Database, InstanceType, Region, Settings, VolumeType

VENDOR_ALIASES = {
    "mysql": "percona", "psql": "postgres", "pgsql": "postgres", "postgresql": "postgres", "mssql": "microsoft",
}  # fmt: skip

DEFAULT_TYPES = {"mariadb": "replication", "percona": "replication", "postgres": "postgres_streaming"}
"""The topology of clients that name none."""

T = TypeVar("T")


def vendor(settings: Settings, word: str) -> Database:
    """The vendor of that name or alias."""
    code = VENDOR_ALIASES.get(word.lower(), word.lower())
    found = settings.database(code)
    if found is None:
        raise _unknown("general.db_vendor", word, (d.code for d in settings.databases if d.enabled))
    return found


def version(database: Database, word: str) -> str:
    """The version; ``""`` and ``latest`` mean the newest."""
    if word.lower() in ("", "latest"):
        return database.versions[-1]
    if word not in database.versions:
        raise _unknown("general.db_version", word, database.versions)
    return word


def topologies(database: Database, engines: Engines) -> dict[str, Engine]:
    """The engines of those on offer, by code: settings may name topologies that none makes."""
    found = {}
    for kind in database.types:
        with suppress(Invalid):
            found[kind.code] = engines(database.code, kind.code)
    return found


def cluster_type(database: Database, word: str, engines: Engines) -> str:
    """The topology's code; ``""`` and the vendor's own name mean the default one."""
    made = topologies(database, engines)
    on_offer = [t for t in database.types if t.code in made]
    codes = [t.code for t in on_offer]
    meant = word.lower()
    if not codes:
        raise Invalid(
            f"no topology of {database.name} is offered here", field="general.cluster_type",
            remedy="Choose another vendor",
        )  # fmt: skip
    if meant in ("", database.code) or VENDOR_ALIASES.get(meant) == database.code:
        default = DEFAULT_TYPES.get(database.code, codes[0])
        return default if default in codes else codes[0]
    return _pick("general.cluster_type", word, on_offer, lambda t: (t.code,)).code


def promises(database: Database, engine: Engine) -> dict[int, str]:
    """What each count of nodes on offer gives, of those that the engine can make."""
    found = {}
    for count in database.num_nodes:
        with suppress(Invalid):
            found[count] = engine.promise(count)
    return found


def cloud(settings: Settings, word: str, field: str = "cloud.cloud_provider") -> CloudConfig:
    return _pick(field, word, settings.clouds, lambda c: (c.code,))


def region(cloud: CloudConfig, word: str, field: str = "cloud.cloud_region") -> Region:
    return _pick(field, word, cloud.regions, lambda r: (r.code,))


def instance(cloud: CloudConfig, word: str, field: str = "instance.instance_size") -> InstanceType:
    """The size, by our code or by the cloud's own word."""
    return _pick(field, word, cloud.instance_types, lambda i: (i.code, i.type))


def volume(cloud: CloudConfig, word: str) -> VolumeType:
    """The volume type; ``""`` means the first."""
    if not word:
        return cloud.volume_types[0]
    return _pick("instance.volume_type", word, cloud.volume_types, lambda v: (v.code,))


def volume_size(kind: VolumeType, size: int | None, field: str) -> int:
    """GiB; None means the type's default."""
    if size is None:
        return kind.default
    if not kind.min <= size <= kind.max:
        raise Invalid(
            f"{size} GiB is outside of what {kind.code} volumes can have",
            field=field,
            remedy=f"Choose {kind.min} to {kind.max} GiB",
        )
    return size


def _pick(field: str, word: str, things: Iterable[T], names: Callable[[T], tuple[str, ...]]) -> T:
    """The thing of that name, in any case."""
    things = list(things)
    for thing in things:
        if word.lower() in (name.lower() for name in names(thing)):
            return thing
    raise _unknown(field, word, (names(thing)[0] for thing in things))


def _unknown(field: str, word: str, known: Iterable[str]) -> Invalid:
    there_is = ", ".join(known) or "nothing"
    return Invalid(f"{word!r} is not offered here", field=field, remedy=f"There is: {there_is}")
