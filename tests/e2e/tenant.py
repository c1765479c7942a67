"""A user of an installation, and a datastore of theirs: by the public API, DNS and PostgreSQL, as users have it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import dns.asyncresolver
import dns.resolver
import httpx
import psycopg
from tests.e2e.machine import Installed, eventually, run

from ccx.clouds.base import Resource
from ccx.clouds.local import LocalCloud
from ccx.clouds.local.processes import find_init
from ccx.demo import Writer

CREATED_WITHIN = 240.0
DELETED_WITHIN = 90.0
REPAIRED_WITHIN = 240.0
CONNECTED_WITHIN_S = 3

EVER = datetime.min.replace(tzinfo=UTC)

Parameters = dict[str, Any]
"""libpq's, of one node."""


@dataclass
class Tenant:
    """Somebody who is logged in."""

    installed: Installed
    http: httpx.AsyncClient
    password: str = field(repr=False)
    login: str = ""

    async def call(self, method: str, path: str, body: object = None) -> Any:
        """The answer's body; an error is a failure. ``path`` is below ``/api``."""
        answer = await self.answer(method, path, body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def answer(self, method: str, path: str, body: object = None) -> httpx.Response:
        """Whatever is answered. While the control plane is away, as it is on purpose here, waits for it."""

        async def asked() -> httpx.Response | None:
            try:
                return await self.http.request(method, f"/api/{path}", json=body)
            except httpx.TransportError:
                return None

        found: httpx.Response = await eventually(asked, within=60, what=f"an answer to {method} {path}")
        return found

    async def order(
        self, name: str, nodes: int, vendor: str = "postgres", topology: str = "", version: str = ""
    ) -> Store:
        """Orders a datastore; it is not there yet. The vendor's usual topology and newest version unless given."""
        made = await self.call(
            "POST",
            "prov/api/v2/cluster",
            {
                "general": {
                    "cluster_name": name,
                    "cluster_size": nodes,
                    "db_vendor": vendor,
                    "db_version": version,
                    "cluster_type": topology,
                },
                "cloud": {"cloud_provider": "local", "cloud_region": "local"},
                "instance": {"instance_size": "tiny", "volume_size": 10},
            },
        )
        return Store(self, made["uuid"])

    async def create(
        self, name: str, nodes: int, allow: str | None = "", vendor: str = "postgres", topology: str = ""
    ) -> Store:
        """A datastore that is STARTED. ``allow`` is this machine's own address unless given; None: nobody."""
        store = await self.order(name, nodes, vendor, topology)
        if allow is not None:
            await store.allow(allow or str(self.installed.layout.host))
        await store.until_started(CREATED_WITHIN)
        return store


@asynccontextmanager
async def signed_up(installed: Installed) -> AsyncIterator[Tenant]:
    """A new user."""
    password = secrets.token_urlsafe(16)
    async with installed.http(timeout=30) as http:
        login = f"ada-{secrets.token_hex(4)}@example.net"
        tenant = Tenant(installed, http, password, login)
        await tenant.call("POST", "auth/register", {"login": login, "password": password, "termsAccepted": True})
        yield tenant


@asynccontextmanager
async def operator(installed: Installed) -> AsyncIterator[Tenant]:
    """The one who sees everybody's datastores."""
    password = installed.layout.operator_password.read_text().strip()
    async with installed.http(timeout=30) as http:
        tenant = Tenant(installed, http, password, "operator")
        await tenant.call("POST", "v2/auth/login", {"login": "operator", "password": password})
        yield tenant


@dataclass(frozen=True)
class Store:
    """A datastore, by what its owner can do with it."""

    tenant: Tenant
    uuid: str
    seen: list[tuple[str, str]] = field(default_factory=list)
    """Each status with its reason, in the order in which :meth:`watching` saw them."""

    async def call(self, method: str, path: str, body: object = None) -> Any:
        """``path`` gets the datastore's id at its end."""
        return await self.tenant.call(method, f"{path}/{self.uuid}", body)

    async def show(self) -> dict[str, Any]:
        found: dict[str, Any] = await self.call("GET", "deployment/v3/data-stores")
        return found

    async def status(self) -> tuple[str, str]:
        shown = await self.show()
        return shown["cluster_status"], shown["cluster_status_text"]

    async def jobs(self, *, routine: bool = True) -> list[dict[str, Any]]:
        """Newest first."""
        path = f"deployment/v2/data-stores/{self.uuid}/jobs?routine={str(routine).lower()}"
        found: list[dict[str, Any]] = (await self.tenant.call("GET", path))["jobs"]
        return found

    async def job(self, kind: str) -> dict[str, Any]:
        """The newest of that type, with its steps."""
        newest = next(job for job in await self.jobs() if job["type"] == kind)
        path = f"deployment/v2/data-stores/{self.uuid}/jobs/{newest['job_id']}"
        found: dict[str, Any] = await self.tenant.call("GET", path)
        return found

    async def nodes(self) -> list[dict[str, Any]]:
        path = f"deployment/v2/data-stores/{self.uuid}/nodes"
        found: list[dict[str, Any]] = (await self.tenant.call("GET", path))["database_nodes"]
        return found

    async def primary(self) -> dict[str, Any]:
        """By the control plane's word, which may come a moment after writes go on."""

        async def leads() -> dict[str, Any] | None:
            return next((node for node in await self.nodes() if node["role"] == "primary"), None)

        found: dict[str, Any] = await eventually(leads, 30, what="a node is primary")
        return found

    async def allow(self, source: str) -> None:
        await self.call("POST", "firewall/api/v1/firewall", {"source": source})

    async def disallow(self, source: str) -> None:
        await self.call("DELETE", "firewall/api/v1/firewall", {"source": source})

    async def short_id(self) -> str:
        """What its names on the cloud have in common; also of one that is gone."""
        [(short_id,)] = await self.tenant.installed.query(
            "select short_id from stores.datastore where id = %s", [self.uuid]
        )
        return str(short_id)

    async def kept_secrets(self) -> list[tuple[Any, ...]]:
        """What the vault has of it and of its nodes: scopes and names."""
        return await self.tenant.installed.query(
            "select scope, name from secrets.secret where scope = %s or scope in "
            "(select 'node:' || id from stores.node where datastore_id = %s)",
            [f"datastore:{self.uuid}", self.uuid],
        )

    async def reached(self, kind: str, step: str, since: datetime = EVER) -> None:
        """Returns as soon as that step of a job of that kind has begun."""
        query = (
            "select 1 from jobs.step join jobs.job on job.id = job_id "
            "where key = %s and kind = %s and name = %s and job.created_at > %s"
        )
        asked = [self.uuid, kind, step, since]
        await eventually(lambda: self.tenant.installed.query(query, asked), CREATED_WITHIN, every=0.01, what=step)

    async def until_started(self, within: float) -> None:
        """Returns when it serves and no job is left; fails at once when it never will."""

        async def started() -> bool:
            shown = await self.show()
            gone = shown["cluster_status"] in ("DEPLOY_FAILED", "DELETED")
            assert not gone, f"{shown['cluster_status']}: {shown['cluster_status_text']}"
            return shown["cluster_status"] == "STARTED" and shown["current_job"] is None

        try:
            await eventually(started, within, every=0.3, what="the datastore is STARTED")
        except AssertionError as late:
            told = [(s["name"], s["state"], s["error"]) for job in await self._running() for s in job["steps"]]
            raise AssertionError(f"{late}; {await self.status()}; {told}") from None

    async def _running(self) -> list[dict[str, Any]]:
        open_jobs = [job for job in await self.jobs() if job["finished_at"] is None]
        path = f"deployment/v2/data-stores/{self.uuid}/jobs"
        return [await self.tenant.call("GET", f"{path}/{job['job_id']}") for job in open_jobs]

    async def delete(self) -> None:
        """Returns when it is gone; does nothing when it is already."""
        await self.call("DELETE", "prov/api/v2/cluster")
        await self.until_deleted()

    async def until_deleted(self) -> None:
        async def deleted() -> bool:
            job = next((job for job in await self.jobs() if job["type"] == "JOB_TYPE_DESTROY_DATASTORE"), None)
            assert job is None or job["status"] != "JOB_STATUS_ERRORED", job
            return job is not None and job["status"] == "JOB_STATUS_FINISHED"

        await eventually(deleted, DELETED_WITHIN, every=0.3, what="the datastore is deleted")

    async def restore(self, name: str, to: datetime | None = None, **wish: object) -> Store:
        """Orders a new datastore out of this one's backups, which this machine may connect to; it is not there yet."""
        until = {"pitr_stop_time": to.isoformat()} if to is not None else {}
        path = f"backup/api/v1/backups/{self.uuid}/restore"
        made = await self.tenant.call("POST", path, {"cluster_name": name, **until, **wish})
        restored = Store(self.tenant, made["uuid"])
        await restored.allow(str(self.tenant.installed.layout.host))
        return restored

    async def connection(self) -> dict[str, Any]:
        """What its owner needs to connect, the password included."""
        path = f"deployment/v2/data-stores/{self.uuid}/connection"
        found: dict[str, Any] = await self.tenant.call("GET", path)
        return found

    async def parameters(self, folder: Path, **changed: str) -> list[Parameters]:
        """For each node, with its certificate verified; ``folder`` gets the CA's file."""
        told = await self.connection()
        ca = folder / f"{self.uuid}.crt"
        ca.write_text(told["ca"])
        common = {
            "user": told["user"], "password": told["password"], "dbname": told["database"], "port": str(told["port"]),
            "sslmode": "verify-full", "sslrootcert": str(ca), "connect_timeout": str(CONNECTED_WITHIN_S), **changed,
        }  # fmt: skip
        return [{**common, "host": node["host"], "hostaddr": node["address"]} for node in told["nodes"]]

    async def read_write(self, folder: Path, **changed: str) -> Parameters:
        """Of whichever node is the primary."""
        nodes = await self.parameters(folder, **changed)
        every = {key: ",".join(node[key] for node in nodes) for key in ("host", "hostaddr")}
        return {**nodes[0], **every, "target_session_attrs": "read-write"}

    async def writer(self, folder: Path) -> Writer:
        return Writer(await self.parameters(folder), rate=100)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[list[tuple[str, str]]]:
        """Collects the statuses that the API shows meanwhile."""

        async def watch() -> None:
            while True:
                now = await self.status()
                if not self.seen or self.seen[-1] != now:
                    self.seen.append(now)
                await asyncio.sleep(0.2)

        self.seen.clear()
        task = asyncio.create_task(watch())
        try:
            yield self.seen
        finally:
            task.cancel()
            outcome = (await asyncio.gather(task, return_exceptions=True))[0]
        assert isinstance(outcome, asyncio.CancelledError), outcome


@dataclass(frozen=True)
class LocalSide:
    """An installation's cloud and DNS, as the machine itself has them: what no user could reach."""

    installed: Installed

    @cached_property
    def cloud(self) -> LocalCloud:
        return LocalCloud(self.installed.layout.cloud_socket)

    async def resources(self) -> list[Resource]:
        return await self.cloud.inventory(self.installed.instance)

    async def of(self, short_id: str) -> list[str]:
        """What the cloud holds of a datastore, by its own word."""
        found = [r for r in await self.resources() if r.tags.datastore == short_id or short_id in r.name]
        return sorted(f"{r.kind} {r.name}" for r in found)

    async def addresses(self, name: str) -> list[str]:
        """What the installation's DNS server answers for a name; nothing where there is no such name."""
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = [str(self.installed.layout.router)]
        try:
            return sorted(str(record) for record in await resolver.resolve(name, "A", lifetime=5))
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []

    @asynccontextmanager
    async def dropping(self, *packets: str, hook: str = "forward") -> AsyncIterator[None]:
        """Meanwhile the router lets no packet pass that one of these (nftables) describes, and tells nobody.

        ``hook``: ``input`` for packets to the router itself, which is also the resolver.
        """
        router = ("ip", "netns", "exec", f"{self.installed.layout.namespace}-cloud", "nft")
        place = f"type filter hook {hook} priority -10;"
        drops = " ".join(f"{packet} drop;" for packet in packets)
        await run(*router, f"table ip fault {{ chain {hook} {{ {place} {drops} }}; }}")
        try:
            yield
        finally:
            await run(*router, "delete table ip fault")

    async def init_of(self, address: str) -> int:
        """The pid of the init of the machine that has the address, for nsenter."""
        prefix = f"{self.installed.layout.namespace}-cloud."
        for space in (await run("ip", "netns", "list")).stdout.split():
            if space.startswith(prefix) and f" {address}/" in (await run("ip", "-n", space, "addr")).stdout:
                pids = map(int, (await run("ip", "netns", "pids", space)).stdout.split())
                found = find_init(pids)
                assert found is not None, f"no machine runs in {space}"
                return found
        raise AssertionError(f"no machine has {address}")

    async def check_inventory(self) -> None:
        """Nothing is orphaned, by the control plane's own word. Raises AssertionError with what is."""
        async with operator(self.installed) as asker:
            found = await asker.call("GET", "admin/cloud/inventory")
        assert [resource for resource in found["resources"] if resource["orphaned"]] == []


async def execute(parameters: Parameters, statement: str) -> None:
    """Raises psycopg.Error."""
    async with await psycopg.AsyncConnection.connect(autocommit=True, **parameters) as connection:
        await connection.execute(statement.encode())


async def select(parameters: Parameters, query: str) -> Any:
    """The first column of the first row. Raises psycopg.Error."""
    async with await psycopg.AsyncConnection.connect(autocommit=True, **parameters) as connection:
        row = await (await connection.execute(query.encode())).fetchone()
    assert row is not None
    return row[0]


async def refused(parameters: Parameters) -> bool:
    """Whether nothing at all answers a client."""
    try:
        await select(parameters, "select 1")
    except psycopg.errors.ConnectionTimeout:
        return True
    except psycopg.OperationalError as error:
        return "timeout" in str(error) or "refused" in str(error)
    return False
