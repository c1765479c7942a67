"""What ``url`` prints and ``connect`` runs, with the real psql against a real PostgreSQL with TLS."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
from tests.integration.cli.conftest import Ended, Person
from tests.integration.conftest import PostgresServer
from tests.unit.cli_recorded import ORDERS, Recorded, control_plane, datastore, page

from ccx.cli.exits import Exit
from ccx.pki import KeyPair, issue, new_ca

SSL_REQUEST = bytes.fromhex("0000000804d2162f")
PASSWORD = "p:a\\ss'w o%rd"
NAMES = ("n1g1.k7.db.example.net", "n2g1.k7.db.example.net")


@pytest.fixture(scope="module")
def ca() -> KeyPair:
    """The datastore's own."""
    return new_ca("datastore k7")


@pytest.fixture(scope="module")
def server(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """A PostgreSQL that wants a password."""
    home = Path(tempfile.mkdtemp(prefix="ccx-cli-pg-"))
    server = PostgresServer(bin=postgres_server.bin, home=home, user=postgres_server.user)
    server.init()
    server.start()
    with server.connect() as connection:
        connection.execute(psycopg.sql.SQL("create user ccxadmin password {}").format(PASSWORD))
        connection.execute("create database defaultdb owner ccxadmin")
        (home / "data/pg_hba.conf").write_text("local all ccx trust\nlocal all all scram-sha-256\n")
        connection.execute("select pg_reload_conf()")
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(home)


@pytest.fixture(scope="module")
async def node(server: PostgresServer, ca: KeyPair, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[int]:
    """Port of that PostgreSQL, with TLS only. The wheel's server is built without, so TLS ends in front of it."""
    pem = tmp_path_factory.mktemp("node") / "tls.pem"
    leaf = issue(ca, "n2g1", dns_names=NAMES[1:])
    pem.write_text(leaf.key + leaf.certificate)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pem)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            assert await reader.readexactly(8) == SSL_REQUEST
            writer.write(b"S")
            await writer.start_tls(tls)
            inner_reader, inner_writer = await asyncio.open_unix_connection(str(server.home / ".s.PGSQL.5432"))
            await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.closing(sink):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield listening.sockets[0].getsockname()[1]
    listening.close()


@pytest.fixture(scope="module")
def api(node: int, ca: KeyPair) -> Iterator[Recorded]:
    """Tells of two nodes, the first of which is dead: nothing listens on that address."""
    with control_plane() as recorded:
        recorded.on("GET", "/deployment/v3/data-stores", page(datastore()))
        addresses = ("127.0.0.2", "127.0.0.1")
        there = zip(NAMES, addresses, ("primary", "replica"), strict=True)
        nodes = [{"host": name, "address": address, "role": role} for name, address, role in there]
        recorded.on(
            "GET", f"/deployment/v2/data-stores/{ORDERS}/connection",
            {"speaks": "postgresql", "user": "ccxadmin", "password": PASSWORD, "database": "defaultdb",
             "port": node, "nodes": nodes, "ca": ca.certificate,
             "primary": "p.k7.db.example.net", "replicas": "r.k7.db.example.net"},
        )  # fmt: skip
        yield recorded


@pytest.fixture
def ada(tmp_path: Path) -> Person:
    return Person(tmp_path, "ada")


async def ccx(ada: Person, api: Recorded, *arguments: str, **environ: str) -> Ended:
    return await ada.ccx(*arguments, CCX_BASE_URL=api.url, CCX_TOKEN="t", **environ)


async def psql(command: str, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", command, "bash", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await process.communicate()
    return out.decode().strip()


@pytest.mark.parametrize("form", ["uri", "keyword"])
async def test_a_connection_string_works_as_pasted(ada: Person, api: Recorded, form: str) -> None:
    text = (await ccx(ada, api, "datastore", "url", "orders", "--format", form)).out.strip()
    answer = await psql("""psql "$1" --no-psqlrc -At -c 'select current_user' -c '\\conninfo'""", text)
    assert answer.startswith("ccxadmin\n")
    assert "SSL connection" in answer


async def test_exports_work_as_pasted(ada: Person, api: Recorded) -> None:
    text = (await ccx(ada, api, "datastore", "url", "orders", "--format", "env")).out
    assert await psql("""eval "$1"; psql --no-psqlrc -Atc 'select current_database()'""", text) == "defaultdb"


async def test_another_ca_is_not_accepted(ada: Person, api: Recorded) -> None:
    text = (await ccx(ada, api, "datastore", "url", "orders")).out.strip()
    (ada.home / f"config/ccx/ca/{ORDERS}.pem").write_text(new_ca("another").certificate)
    assert "certificate verify failed" in await psql("""psql "$1" -Atc 'select 1'""", text)


async def test_a_primary_is_no_replica(ada: Person, api: Recorded) -> None:
    text = (await ccx(ada, api, "datastore", "url", "orders", "--role", "replica")).out.strip()
    assert "is not in hot standby mode" in await psql("""psql "$1" -Atc 'select 1'""", text)


async def test_connect_runs_psql_and_leaves_no_password(ada: Person, api: Recorded) -> None:
    temporary = ada.home / "tmp"
    temporary.mkdir()
    look = r"\! tr '\0' '\n' < /proc/$PPID/cmdline; ls -l $PGPASSFILE; env | grep -c PGPASSWORD="
    ended = await ccx(
        ada, api, "datastore", "connect", "orders", "--", "--no-psqlrc", "-At", "-c", "select current_user", "-c", look,
        TMPDIR=str(temporary),
    )  # fmt: skip
    assert ended.code == Exit.OK, ended.err
    assert ended.out.startswith("ccxadmin\n")
    assert "-rw-------" in ended.out
    assert ended.out.endswith("\n0\n"), "no password in the environment"
    assert PASSWORD not in ended.out
    assert list(temporary.iterdir()) == []


async def test_a_failing_statement_ends_with_1(ada: Person, api: Recorded) -> None:
    ended = await ccx(ada, api, "datastore", "connect", "orders", "--", "--no-psqlrc", "-c", "select 1/0")
    assert ended.code == Exit.FAILED
    assert "division by zero" in ended.err


async def test_a_machine_without_psql_says_what_to_install(ada: Person, api: Recorded) -> None:
    ended = await ccx(ada, api, "datastore", "connect", "orders", PATH=str(ada.home))
    assert ended.code == Exit.FAILED
    assert ended.err == "psql is not installed. Install PostgreSQL's client: apt-get install postgresql-client\n"
