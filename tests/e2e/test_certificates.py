"""Certificates are replaced while a client writes all the time: it notices nothing, and each port shows new ones."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from cryptography import x509
from tests.e2e.machine import Installed, eventually
from tests.e2e.tenant import CREATED_WITHIN, LocalSide, Store, Tenant, select

from ccx.db import make_engine, make_session_factory
from ccx.pki import KeyPair, expires_at, issue
from ccx.runner.subject import datastore_scope, node_scope
from ccx.secrets import KeyRing, Vault

pytestmark = pytest.mark.slow

PORTS = {"patroni": 8008, "etcd": 2379}


class Opened:
    """The vault of the installation, as whoever has its wrapping key has it."""

    def __init__(self, installed: Installed) -> None:
        layout = installed.layout
        self._installed = installed
        self.engine = make_engine(f"postgresql+psycopg://postgres@/ccx?host={layout.postgres_socket}")
        self._sessions = make_session_factory(self.engine)
        self._vault = Vault(KeyRing.load(layout.etc / "wrapping.key"))

    async def node(self, store: Store) -> UUID:
        """The id of one of the datastore's nodes."""
        statement = "select id from stores.node where datastore_id = %s order by index limit 1"
        found: UUID = (await self._installed.query(statement, [store.uuid]))[0][0]
        return found

    async def read(self, scope: str) -> dict[str, str]:
        async with self._sessions() as tx:
            return await self._vault.get_all(tx, scope)

    async def write(self, scope: str, pair: KeyPair) -> None:
        async with self._sessions.begin() as tx:
            await self._vault.put(tx, scope, "tls.certificate", pair.certificate)
            await self._vault.put(tx, scope, "tls.key", pair.key)


@pytest.fixture(scope="module")
async def vault(installation: Installed) -> AsyncIterator[Opened]:
    opened = Opened(installation)
    yield opened
    await opened.engine.dispose()


@pytest.fixture(scope="module")
async def installation(new_installation: Installed) -> Installed:
    """One that looks at its datastores often."""
    await new_installation.up("--set", "state_interval=2")
    return new_installation


@pytest.fixture(scope="module")
async def store(tenant: Tenant) -> Store:
    return await tenant.create("orders", 3)


async def test_one_that_expires_soon_is_replaced_by_itself(store: Store, vault: Opened) -> None:
    node = await vault.node(store)
    kept = await vault.read(datastore_scope(UUID(store.uuid)))
    ca = KeyPair(kept["ca.certificate"], kept["ca.key"])
    await vault.write(node_scope(node), issue(ca, "node", ["node.example"], valid=timedelta(days=20)))

    async def renewed() -> bool:
        certificate = (await vault.read(node_scope(node)))["tls.certificate"]
        return expires_at(certificate) - datetime.now(UTC) > timedelta(days=300)

    await eventually(renewed, within=120, every=0.5, what="the certificate is replaced")
    await store.until_started(CREATED_WITHIN)
    assert (await store.job("JOB_TYPE_ROTATE_CERTIFICATES"))["status"] == "JOB_STATUS_FINISHED"


async def test_a_rotation_is_noticed_by_nobody_and_seen_on_every_port(
    store: Store, local: LocalSide, folder: Path
) -> None:
    before = await shown(store, local)
    assert len(before) == 9
    writer = await store.writer(folder)
    await asyncio.to_thread(writer.start)
    async with await psycopg.AsyncConnection.connect(**await store.read_write(folder), autocommit=True) as connected:
        session = await (await connected.execute("select pg_backend_pid()")).fetchone()

        job = (await store.tenant.call("POST", f"prov/api/v2/cluster/{store.uuid}/certificates"))["job_id"]

        async def finished() -> bool:
            state = next(one["status"] for one in await store.jobs() if one["job_id"] == job)
            assert state != "JOB_STATUS_ERRORED"
            return bool(state == "JOB_STATUS_FINISHED")

        await eventually(finished, within=120, every=0.3, what="the rotation ends")

        assert await (await connected.execute("select pg_backend_pid()")).fetchone() == session
    await asyncio.to_thread(writer.wait_for, 100, 30)
    await asyncio.to_thread(writer.stop)
    after = await shown(store, local)
    assert after.keys() == before.keys()
    assert not [port for port in before if before[port] == after[port]]
    primary = await store.read_write(folder)

    def lost() -> list[int]:
        with psycopg.connect(**primary) as connection:
            return writer.lost(connection)

    assert await asyncio.to_thread(lost) == []
    assert writer.gap() < 2


async def test_afterwards_all_nodes_are_reached_and_observed_as_before(store: Store, folder: Path) -> None:
    """Whoever holds an old certificate or trusts only that would be shut out."""
    for node in await store.parameters(folder):
        assert await select(node, "select 1") == 1
    await store.until_started(CREATED_WITHIN)
    replica = next(node for node in await store.nodes() if node["role"] == "replica")
    assert replica["synchronous"] is not None


async def shown(store: Store, local: LocalSide) -> dict[tuple[str, str], int]:
    """Serial numbers of the certificates, by node and service, as a peer on the same node sees them."""
    found = {}
    for node in await store.nodes():
        address = node["private_ip"]
        found[address, "postgresql"] = await asyncio.to_thread(_postgresql, address)
        for service, port in PORTS.items():
            inside = ["nsenter", f"--target={await local.init_of(address)}", "--net", "--"]
            found[address, service] = await _by_openssl(inside, address, port)
    return found


def _postgresql(address: str) -> int:
    """By libpq's own way to TLS: a request, then the handshake."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((address, 5432), 5) as plain:
        plain.sendall(bytes.fromhex("0000000804d2162f"))
        assert plain.recv(1) == b"S"
        with context.wrap_socket(plain) as wrapped:
            certificate = wrapped.getpeercert(binary_form=True)
    assert certificate is not None
    return x509.load_der_x509_certificate(certificate).serial_number


async def _by_openssl(inside: list[str], address: str, port: int) -> int:
    process = await asyncio.create_subprocess_exec(
        *inside, "openssl", "s_client", "-connect", f"{address}:{port}", stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    out, _ = await process.communicate()
    begin, end = out.index(b"-----BEGIN CERTIFICATE"), out.index(b"-----END CERTIFICATE-----") + 25
    return x509.load_pem_x509_certificate(out[begin:end]).serial_number
