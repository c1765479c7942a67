"""An external database and NATS: what is refused, with which remedy, and which destinations need a way out."""

from __future__ import annotations

import asyncio
import getpass
import json
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from ccx.embedded import external, nats_client, outside, outside_names
from ccx.embedded.external import Destination, check, destinations, hosts_of, settle
from ccx.embedded.layout import Layout
from ccx.embedded.report import Report
from ccx.errors import CcxError, Invalid
from ccx.network.page import everything
from ccx.network.plan import plan
from ccx.settings import Paths, Settings

ETC = "/etc/ccx/t"
DSN = "postgresql+psycopg://ccx@db.corp:6432/ccx"


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    made = Layout("t", IPv4Network("10.224.0.0/20"), "127.0.0.1:8443")
    made.__dict__.update(etc=tmp_path / "etc", run=tmp_path / "run")
    made.etc.mkdir()
    made.run.mkdir()
    monkeypatch.setattr(external, "USER", getpass.getuser())
    return made


def settings(layout: Layout, **changes: Any) -> Settings:
    return Settings(
        paths=Paths(etc=layout.etc, var=layout.etc, run=layout.run), node_network=str(layout.subnet),
        resolver_address=str(layout.router), control_address=str(layout.control),
        **{"dsn": layout.dsn, "nats_url": layout.nats_url, **changes},
    )  # fmt: skip


def file(layout: Layout, name: str, mode: int = 0o600) -> Path:
    path = layout.etc / name
    path.write_text("x")
    path.chmod(mode)
    return path


def test_an_instance_of_embedded_parts_needs_no_way_out(layout: Layout) -> None:
    embedded = settings(layout)

    assert check(embedded, layout) == []
    assert destinations(plan(embedded), layout) == ()


def test_each_server_that_the_settings_name_is_a_destination(layout: Layout) -> None:
    wanted = plan(settings(layout, dsn=DSN, nats_url="tls://192.0.2.7:4222, tls://n2.corp"))

    found = destinations(wanted, layout)

    assert set(found) == {
        Destination("db.corp", 6432, "db.postgresql"),
        Destination("192.0.2.7", 4222, "state.nats"),
        Destination("n2.corp", 4222, "state.nats"),
    }
    assert set(hosts_of(found)) == {"db.corp", "n2.corp"}


def test_only_what_the_control_plane_cannot_run_without_keeps_it_from_starting() -> None:
    database, store = Destination("db.corp", 5432, "db.postgresql"), Destination("s3.corp", 443, "backup.s3", False)
    nats = [Destination(f"n{number}.corp", 4222, "state.nats") for number in (1, 2)]
    everywhere = [database, store, *nats]

    def silent(*hosts: Destination) -> dict[Destination, CcxError]:
        return {one: CcxError(f"{one.host} does not answer") for one in hosts}

    assert settle(everywhere, {}) == []
    assert settle(everywhere, silent(store, nats[0])) == ["s3.corp does not answer", "n1.corp does not answer"]
    with pytest.raises(CcxError, match=r"db\.corp"):
        settle(everywhere, silent(store, database))
    with pytest.raises(CcxError, match=r"n1\.corp"):
        settle(everywhere, silent(*nats))


def test_an_object_store_is_not_vital(layout: Layout) -> None:
    (cloud, *_) = everything().clouds
    store = cloud.model_copy(update={"s3_endpoint": "https://s3.corp", "s3_bucket": "b"})

    found = destinations(plan(settings(layout, dsn=DSN, clouds=(store,))), layout)

    assert {one.host: one.vital for one in found} == {"db.corp": True, "s3.corp": False}


def test_a_verified_database_and_nats_are_taken_without_a_word(layout: Layout) -> None:
    ca, password = file(layout, "ca.crt", 0o644), file(layout, "pgpass")
    wanted = settings(
        layout, dsn=f"{DSN}?sslmode=verify-full&sslrootcert={ca}&passfile={password}", nats_url="tls://n1.corp",
        nats_credentials=password, nats_ca=ca,
    )  # fmt: skip

    assert check(wanted, layout) == []


@pytest.mark.parametrize("mode", ["", "?sslmode=require", "?sslmode=disable"])
def test_a_connection_that_does_not_prove_who_answers_is_warned_of(layout: Layout, mode: str) -> None:
    warnings = check(settings(layout, dsn=DSN + mode, nats_url="nats://n1.corp"), layout)

    assert len(warnings) == 2
    assert "sslmode=verify-full" in warnings[0]
    assert "tls://" in warnings[1]


@pytest.mark.parametrize(
    ("changes", "field", "remedy"),
    [
        ({"dsn": "postgresql://ccx@db.corp/ccx"}, "dsn", "postgresql\\+psycopg"),
        ({"dsn": "postgresql+psycopg://ccx@localhost/ccx"}, "dsn", "another address of this machine"),
        ({"dsn": "postgresql+psycopg://ccx@127.0.0.1/ccx"}, "dsn", "another address of this machine"),
        ({"dsn": DSN + "?sslmode=verify"}, "dsn", "verify-full"),
        ({"dsn": DSN + "?sslmode=verify-full"}, "dsn", "sslrootcert"),
        ({"dsn": DSN + "?sslmode=verify-full&sslrootcert=/root/ca.crt"}, "dsn, sslrootcert", "Put it into"),
        ({"nats_url": "nats://ccx:secret@n1.corp"}, "nats_url", "nats_credentials"),
        ({"nats_url": "nats://127.0.0.2:4222"}, "nats_url", "another address of this machine"),
        ({"nats_url": "wss://n1.corp"}, "nats_url", "tls://"),
        ({"nats_url": "nats://n1.corp,tls://n2.corp"}, "nats_url", "all of them"),
        ({"nats_url": "tls://n1.corp", "nats_ca": Path("/root/ca.crt")}, "nats_ca", "Put it into"),
    ],
)
def test_what_cannot_work_is_refused_with_its_remedy(
    layout: Layout, changes: dict[str, Any], field: str, remedy: str
) -> None:
    with pytest.raises(Invalid, match=remedy) as refused:
        check(settings(layout, **changes), layout)

    assert refused.value.field == field
    assert "secret" not in str(refused.value)


def test_a_password_file_that_others_can_read_is_refused(layout: Layout) -> None:
    password = file(layout, "pgpass", 0o644)

    with pytest.raises(Invalid, match="others may read"):
        check(settings(layout, dsn=f"{DSN}?passfile={password}"), layout)


def test_a_file_that_is_not_there_is_named(layout: Layout) -> None:
    with pytest.raises(Invalid, match=r"nowhere\.crt"):
        check(settings(layout, dsn=f"{DSN}?sslrootcert={layout.etc / 'nowhere.crt'}"), layout)


async def test_a_name_that_is_this_machines_loopback_is_refused() -> None:
    with pytest.raises(Invalid, match=r"127\.0\.0\.1"):
        await outside_names.look_up(["localhost"])


async def test_a_name_without_an_address_is_named() -> None:
    with pytest.raises(Invalid, match=r"no IPv4 address of nowhere\.invalid"):
        await outside_names.look_up(["nowhere.invalid"])


def test_the_parts_hosts_file_and_the_kernels_rules_speak_of_the_same_addresses(layout: Layout) -> None:
    wanted = plan(settings(layout, dsn=DSN))
    outside_names.write(layout, wanted, {"db.corp": ("192.0.2.10", "192.0.2.11")})
    inode = layout.hosts_file.stat().st_ino

    outside_names.write(layout, wanted, {"db.corp": ("192.0.2.12",)})

    assert layout.hosts_file.read_text().endswith("\n192.0.2.12 db.corp\n")
    assert layout.hosts_file.stat().st_ino == inode, "the parts have this very file bound"
    assert "192.0.2.12" in (text := layout.egress_rules.read_text())
    assert "192.0.2.10" not in text
    assert "tcp dport 6432" in text


def test_the_hosts_table_lets_answers_in_and_nothing_else(layout: Layout) -> None:
    rules = outside.rules(layout)

    assert f'ip saddr {layout.outside} oifname != "{layout.outside_link}" masquerade' in rules
    assert f'iifname "{layout.outside_link}" ip saddr != {layout.outside} drop' in rules
    assert f'oifname "{layout.outside_link}" ct state != {{ established, related }} drop' in rules
    assert len(layout.outside_link) <= 15


async def test_nats_gets_no_password_before_the_connection_is_encrypted(layout: Layout) -> None:
    """A server, or who pretends to be one, says of itself that it needs no TLS."""
    heard = bytearray()
    hung_up = asyncio.Event()

    async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"INFO " + json.dumps({"max_payload": 1024, "auth_required": True}).encode() + b"\r\n")
        heard.extend(await reader.read())
        writer.close()
        hung_up.set()

    credentials = layout.etc / "nats"
    credentials.write_text("events\nhunter2\n")
    async with await asyncio.start_server(pretend, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        wanted = settings(layout, nats_url=f"tls://127.0.0.1:{port}", nats_credentials=credentials)
        connecting = asyncio.create_task(nats_client.connect_nats(wanted))
        async with asyncio.timeout(10):
            await hung_up.wait()
        connecting.cancel()

    assert b"hunter2" not in heard


async def test_a_resolver_that_fails_after_the_start_takes_no_name_away(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = plan(settings(layout, dsn=f"{DSN}?sslmode=require", nats_url="tls://nats.corp:4222"))
    outside_names.write(layout, wanted, {"db.corp": ("192.0.2.1",), "nats.corp": ("192.0.2.2",)})
    at_the_start = layout.hosts_file.read_text(), layout.egress_rules.read_text()
    asked: list[str] = []

    async def look_up(names: list[str]) -> dict[str, tuple[str, ...]]:
        asked.extend(names)
        if len(asked) > 4:
            raise asyncio.CancelledError
        if names == ["nats.corp"]:
            raise Invalid("this machine finds no IPv4 address of nats.corp")
        return {"db.corp": ("192.0.2.1",)}

    monkeypatch.setattr(outside_names, "look_up", look_up)
    monkeypatch.setattr(outside_names, "_EVERY_S", 0)

    with pytest.raises(asyncio.CancelledError):
        await outside_names.follow(layout, wanted, Report())

    assert (layout.hosts_file.read_text(), layout.egress_rules.read_text()) == at_the_start
    assert "192.0.2.2" in at_the_start[1]


async def test_who_stops_waits_for_who_starts_before_it_ends_forwarding(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forwarding, go_on, done = asyncio.Event(), asyncio.Event(), []

    async def forward() -> None:
        forwarding.set()
        await go_on.wait()
        done.append("started")

    async def tables() -> set[str]:
        done.append("stopped")
        return set()

    async def nothing(*_: object, **__: object) -> str:
        return ""

    monkeypatch.setattr(outside, "_EVERYBODYS", tmp_path / "everybodys")
    monkeypatch.setattr(outside, "_link", nothing)
    monkeypatch.setattr(outside, "run", nothing)
    monkeypatch.setattr(outside, "_forward", forward)
    monkeypatch.setattr(outside, "_tables", tables)

    starting = asyncio.create_task(outside.ensure(layout))
    await forwarding.wait()
    stopping = asyncio.create_task(outside.remove(layout))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(stopping), 0.2)
    go_on.set()
    await asyncio.gather(starting, stopping)

    assert done == ["started", "stopped"]
