"""A PostgreSQL and a NATS that the operator has elsewhere, by TLS: nothing embedded runs, and nothing else gets out."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import pytest
from tests.e2e.elsewhere import Elsewhere, elsewhere
from tests.e2e.machine import CCX, Installed, eventually, run
from tests.e2e.promises import promised
from tests.e2e.tenant import CREATED_WITHIN, Tenant, select, signed_up

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


@pytest.fixture(scope="module")
async def there(new_installation: Installed) -> AsyncIterator[Elsewhere]:
    async with elsewhere(new_installation.instance) as machine:
        yield machine


@pytest.fixture(scope="module")
def forwarded_before() -> str:
    return FORWARDING.read_text()


@pytest.fixture(scope="module")
async def connected(new_installation: Installed, there: Elsewhere, forwarded_before: str) -> Installed:
    """A control plane whose database and NATS are elsewhere."""
    etc = Path("/etc/ccx") / new_installation.instance
    etc.mkdir(parents=True)
    _owned(etc / "elsewhere.crt", there.ca.certificate)
    _owned(etc / "pgpass", f"{there.name}:5432:*:metadata:{there.password}\n")
    _owned(etc / "events", f"events\n{there.password}\n")
    dsn = f"postgresql+psycopg://metadata@{there.name}:5432/metadata?sslmode=verify-full"
    await new_installation.up(
        "--set", f"dsn={dsn}&sslrootcert={etc / 'elsewhere.crt'}&passfile={etc / 'pgpass'}",
        "--set", f"nats_url=tls://{there.address}:4222",
        "--set", f"nats_credentials={etc / 'events'}", "--set", f"nats_ca={etc / 'elsewhere.crt'}",
    )  # fmt: skip
    return new_installation


@pytest.fixture(scope="module")
async def customer(connected: Installed) -> AsyncIterator[Tenant]:
    async with signed_up(connected) as user:
        yield user


async def test_nothing_embedded_is_started(connected: Installed) -> None:
    assert await connected.healthy()
    assert not {"postgresql", "nats"} & set(connected.record().parts)


async def test_the_plan_has_both_by_name_and_address(connected: Installed, there: Elsewhere) -> None:
    plan = await run(CCX, "network", "plan", "--instance", connected.instance)

    assert f"{there.name}" in plan.stdout
    assert f"{there.address}" in plan.stdout


@pytest.mark.slow
async def test_a_datastore_is_created_and_what_happened_is_elsewhere(customer: Tenant, there: Elsewhere) -> None:
    store = await customer.create("orders", 1)

    with there.sql("metadata") as connection:
        assert connection.execute("select name from stores.datastore").fetchall() == [("orders",)]
        encrypted = connection.execute(
            "select bool_and(ssl) from pg_stat_ssl join pg_stat_activity using (pid) where usename = 'metadata'"
        ).fetchone()
        assert encrypted == (True,)
    trust = ssl.create_default_context(cadata=there.ca.certificate)
    events = await nats.connect(f"tls://{there.address}:4222", tls=trust, user="events", password=there.password)
    try:
        assert (await events.jetstream().stream_info("CCX")).state.messages > 0
    finally:
        await events.close()
    await store.delete()


@pytest.mark.slow
async def test_without_its_database_it_answers_503_and_goes_on_when_it_is_back(
    connected: Installed, customer: Tenant, there: Elsewhere, tmp_path: Path
) -> None:
    promised("db.postgresql", "answers 503", "its jobs pause", "datastores go on")
    store = await customer.create("orders", 1)
    parameters = await store.read_write(tmp_path)
    interrupted = await customer.order("later", 1)
    async with dropping(connected, f"ip daddr {there.address} tcp dport 5432"):
        await eventually(lambda: _unavailable(connected), 60, what="it answers 503")
        assert await select(parameters, "select 1") == 1
    await eventually(connected.healthy, 60, what="it answers again")
    await interrupted.until_started(CREATED_WITHIN)
    for made in (interrupted, store):
        await made.delete()


@pytest.mark.slow
async def test_without_a_way_to_nats_events_wait_and_jobs_go_on(
    connected: Installed, customer: Tenant, there: Elsewhere
) -> None:
    promised("state.nats", "events wait in the outbox", "jobs go on")
    async with dropping(connected, f"ip daddr {there.address} tcp dport 4222"):
        store = await customer.create("orders", 1)
        assert _unsent(there) > 0
    await eventually(lambda: _unsent(there) == 0, 120, every=1, what="the events are sent")
    await store.delete()


@asynccontextmanager
async def dropping(installed: Installed, packets: str) -> AsyncIterator[None]:
    """Meanwhile the control plane's own packets of that kind are lost on their way."""
    place = "type filter hook output priority -10;"
    await installed.inside("nft", f"table ip fault {{ chain output {{ {place} {packets} drop; }}; }}")
    try:
        yield
    finally:
        await installed.inside("nft", "delete table ip fault")


async def _unavailable(installed: Installed) -> bool:
    async with installed.http(timeout=40) as http:
        return (await http.get("/api/health")).status_code == 503


def _unsent(there: Elsewhere) -> int:
    with there.sql("metadata") as connection:
        found = connection.execute("select count(*) from stores.outbox where published_at is null").fetchone()
    assert found is not None
    count: int = found[0]
    return count


async def test_nothing_else_gets_out(connected: Installed, there: Elsewhere) -> None:
    before = await _refused(connected)
    allowed = await connected.inside("bash", "-c", f"exec 3<>/dev/tcp/{there.address}/5432", check=False)
    undeclared = await connected.inside("bash", "-c", f"exec 3<>/dev/tcp/{there.address}/22", check=False)

    assert allowed.returncode == 0
    assert undeclared.returncode != 0
    assert await _refused(connected) > before


async def test_nobody_gets_in_by_that_way(connected: Installed, there: Elsewhere) -> None:
    layout = connected.layout
    doors = [(layout.outside, 443), (layout.control, 443), (layout.router, 53)]

    entered = await asyncio.gather(*(there.connects_to(str(address), port) for address, port in doors))

    assert not any(entered), list(zip(doors, entered, strict=True))


async def test_stopping_takes_the_way_out_away(connected: Installed, forwarded_before: str) -> None:
    await connected.down()

    links = await run("ip", "link")
    tables = await run("nft", "list", "tables")
    assert connected.layout.outside_link not in links.stdout
    assert "ccx_out_" not in tables.stdout
    assert FORWARDING.read_text() == forwarded_before


async def test_a_database_that_does_not_answer_stops_the_start_in_one_line(
    connected: Installed, there: Elsewhere
) -> None:
    there.stop_postgres()

    tried = await run(CCX, "up", "--instance", connected.instance, "--detach", check=False)

    assert tried.returncode != 0
    assert f"db.postgresql: {there.name}:5432 does not answer" in tried.stderr


async def _refused(installed: Installed) -> int:
    """Packets that the kernel has refused the control plane."""
    listed = await installed.inside("nft", "-j", "list", "counter", "inet", "ccx_egress", "refused")
    return next(entry["counter"]["packets"] for entry in json.loads(listed.stdout)["nftables"] if "counter" in entry)


def _owned(file: Path, text: str) -> None:
    """A file that the control plane's user alone may read."""
    ccx = pwd.getpwnam("ccx")
    file.touch(mode=0o600)
    file.write_text(text)
    os.chown(file, ccx.pw_uid, ccx.pw_gid)
