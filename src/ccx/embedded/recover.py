"""What ``ccx recover`` does: an instance's files again, from the copy in the object store. Then it starts as ever.

Each part can be done again: until all is there, ``recovering`` lies in the ``/etc`` folder, and nothing else starts it.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path
from typing import TypeVar

from ccx.db.postgres_binaries import major
from ccx.embedded import namespace, record
from ccx.embedded.bundle import RECOVERING
from ccx.embedded.files import Files
from ccx.embedded.layout import S3_PORT, Layout, remembered
from ccx.embedded.object_store import BUCKET, ObjectStore
from ccx.embedded.sandbox import Sandbox
from ccx.errors import CcxError, Conflict, Invalid, NotFound, Transient
from ccx.recovery.rebuild import Rebuilt, rebuild
from ccx.secrets import KeyRing
from ccx.settings import Settings
from ccx.settings.load import parse
from ccx.storage.base import Credentials, Location
from ccx.storage.endpoints import copy_cloud, of_recovery
from ccx.storage.light import Shelf
from ccx.storage.opened import credentials_of, location_of
from ccx.storage.s3 import S3

_T = TypeVar("_T")
_STORE_WITHIN_S = 60.0
_PATIENCE_S = 20.0


def recover(instance: str, keys: KeyRing, settings_file: Path | None, say: Callable[[str], None]) -> Layout:
    """Makes the instance's files. Raises :class:`ccx.errors.CcxError` in one line; nothing acts for it then.

    Without ``settings_file``, from the object store whose folder is on this machine.
    """
    layout = Layout(instance, IPv4Network("10.224.0.0/20"), "")  # what depends on its network comes back later
    _check(layout)
    if settings_file is None and not (layout.var / "s3").is_dir():
        raise NotFound(
            f"there is no {layout.var / 's3'} on this machine",
            field="--settings",
            remedy="Name a ccx.yaml that says where the object store is, or put that folder there",
        )
    store = None if settings_file is None else named(instance, settings_file)
    data = layout.var / "postgresql" / "data"
    for folder in (layout.var, layout.var / "postgresql"):
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)

    def work(shelf: Shelf) -> Awaitable[Rebuilt]:
        return rebuild(shelf, instance, keys, major(), layout.var, data, say)

    marker = layout.etc / RECOVERING
    layout.etc.mkdir(mode=0o750, parents=True, exist_ok=True)
    marker.touch()  # before there is anything that looks like an instance
    try:
        back = asyncio.run(_closing(store, work) if store else _from_own(layout, work))
    except Transient as error:
        raise CcxError(str(error), remedy="Make it answer, and run this again", status=503) from None
    finally:
        if not data.exists():
            marker.unlink()
            for folder in (layout.etc, data.parent, layout.var):
                with suppress(OSError):  # where something else is in it, it stays
                    folder.rmdir()
    return _write(layout, keys, back)


def _check(layout: Layout) -> None:
    begun = (layout.etc / RECOVERING).exists()
    if running := record.running(layout.run):
        raise Conflict(
            f"instance {layout.instance!r} is running here (pid {running.pid})", remedy="There is nothing to recover"
        )
    there = [path for path in (layout.etc / "installation.json", layout.var / "postgresql" / "data") if path.exists()]
    if there and not begun:
        raise Conflict(
            f"instance {layout.instance!r} is on this machine already: {there[0]}",
            field="--instance",
            remedy=f"Start it with ccx up --instance {layout.instance}; if it is beyond that, move its files away",
        )


def named(instance: str, file: Path) -> S3:
    """The object store that a settings file names, as a control plane with these settings would use it."""
    try:
        settings = parse(file.read_text(), file, instance, os.environ)
    except OSError as error:
        raise Invalid(f"{file} can't be read: {error.strerror}", field="--settings") from None
    dsn = f"postgresql+psycopg://ccx@/ccx?host={settings.paths.run / 'postgresql'}"
    settings = settings.model_copy(update={"dsn": dsn})
    cloud = copy_cloud(settings)
    if cloud is None:
        raise Invalid(f"{file} names no object store", field="--settings", remedy="Name one in a cloud's s3_endpoint")
    location = location_of(cloud)
    proxy = _checked(location, settings)
    return S3(location, credentials_of(cloud), proxy=proxy, patience=_PATIENCE_S)


def _checked(location: Location, settings: Settings) -> str:
    from ccx.network.hosts import parse_url

    cloud = copy_cloud(settings)
    assert cloud is not None
    address, declared = parse_url(location.endpoint, field="s3_endpoint"), of_recovery(cloud)
    declared.check(address.host, address.port or 443, settings)
    return settings.egress_proxy if declared.proxied else ""


async def _closing(store: Shelf, work: Callable[[Shelf], Awaitable[_T]]) -> _T:
    try:
        return await work(store)
    finally:
        await store.close()


async def _from_own(layout: Layout, work: Callable[[Shelf], Awaitable[_T]]) -> _T:
    """Runs the object store on its folder, where nobody else can reach it, while ``work`` reads and claims."""
    layout.run.mkdir(mode=0o751, parents=True, exist_ok=True)
    logs = layout.logs
    logs.mkdir(mode=0o755, exist_ok=True)
    await namespace.stop_leftovers(layout)  # of the control plane that was here
    await namespace.ensure(layout)
    keys = Credentials(secrets.token_hex(10).upper(), secrets.token_urlsafe(30))
    part = ObjectStore(layout, Sandbox(layout), alone=keys)
    process = await part.start()
    try:
        until = time.monotonic() + _STORE_WITHIN_S
        while not await part.ready():
            if process.returncode is not None or time.monotonic() > until:
                raise CcxError(
                    f"the object store does not start on {layout.var / 's3'}", remedy=f"See {logs / 's3.log'}"
                )
            await asyncio.sleep(0.1)
        location = Location(f"http://127.0.0.1:{S3_PORT}", BUCKET, "us-east-1")

        def inside() -> _T:
            async def one() -> _T:
                return await work(S3(location, keys, patience=_PATIENCE_S))

            return asyncio.run(one())

        return await asyncio.to_thread(namespace.within, layout, inside)
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), part.stop_within)
        except TimeoutError:
            process.kill()
            await process.wait()


def _write(layout: Layout, keys: KeyRing, back: Rebuilt) -> Layout:
    files = Files(layout)
    recovery_key = files.restore_keys(keys)
    files.restore_bundle(back.configuration, recovery_key)
    files.own(layout.var / "postgresql" / "data")
    files.recovery_folder()
    files.note_recovery_copy()
    restored = remembered(layout.instance)
    if restored is None:
        raise CcxError("the copied configuration has no installation.json", status=500)
    (layout.etc / RECOVERING).unlink()
    return restored
