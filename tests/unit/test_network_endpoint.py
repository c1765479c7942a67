"""A declaration's client reaches what is declared and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccx.errors import Invalid
from ccx.network import (
    CLIENTS,
    NODES,
    Address,
    Direction,
    Endpoint,
    Mirror,
    Plane,
    Protocol,
    UndeclaredConnection,
    UnixSocket,
    When,
    from_url,
)  # fmt: skip
from ccx.settings import Paths, Settings

SETTINGS = Settings(paths=Paths.of("test"), node_network="10.224.1.0/24", user_domain="db.example")


def endpoint(**facts) -> Endpoint:
    """A whole declaration, outside the catalogue."""
    whole = {
        "id": "test.thing", "section": 5, "host": "api.example", "ports": 443, "protocol": Protocol.HTTPS,
        "direction": Direction.OUTBOUND, "plane": Plane.CONTROL, "service": "test", "purpose": "a test",
        "when_blocked": "the test fails", "mirror": Mirror.NONE,
    }  # fmt: skip
    return Endpoint(**{**whole, **facts})


def answering(request: httpx.Request) -> httpx.Response:
    """Redirects from ``/away`` to somewhere else, answers everything else."""
    if request.url.path == "/away":
        return httpx.Response(302, headers={"location": "https://elsewhere.example/"})
    return httpx.Response(200, text=str(request.url))


def client(declaration: Endpoint, settings: Settings = SETTINGS, **options) -> httpx.AsyncClient:
    return declaration.client(settings, transport=httpx.MockTransport(answering), **options)


async def test_the_declared_host_is_reached_by_path_alone():
    async with client(endpoint()) as http:
        assert (await http.get("/v1")).text == "https://api.example/v1"


@pytest.mark.parametrize(
    "url",
    ["https://evil.example/", "https://api.example:8443/", "http://api.example:443/", "https://api.example.evil.example/",
     "https://sub.api.example/", "https://10.224.1.7/"],
)  # fmt: skip
async def test_everything_else_is_refused_before_anything_is_sent(url):
    async with client(endpoint()) as http:
        with pytest.raises(UndeclaredConnection):
            await http.get(url)


async def test_a_redirect_to_an_undeclared_host_is_refused():
    async with client(endpoint(), follow_redirects=True) as http:
        with pytest.raises(UndeclaredConnection, match=r"elsewhere\.example:443"):
            await http.get("/away")


async def test_hosts_that_stand_behind_are_allowed():
    async with client(endpoint(behind=("elsewhere.example",)), follow_redirects=True) as http:
        assert (await http.get("/away")).status_code == 200


async def test_a_refusal_names_caller_destination_and_nearest_declaration():
    async with client(endpoint()) as http:
        with pytest.raises(UndeclaredConnection) as refused:
            await http.get("https://deb.debian.org:8080/")
    problem = refused.value
    assert problem.destination == "deb.debian.org:8080"
    assert problem.nearest == "cloud.local.image" or problem.nearest is None
    assert problem.caller.startswith(("test_network_endpoint", "tests.unit"))
    assert "test.thing, which allows api.example:443" in problem.err


async def test_what_the_settings_do_not_need_has_no_client():
    off = endpoint(needed=When(lambda s: s.log_level == "debug", "log_level is debug"))
    async with client(off) as http:
        with pytest.raises(UndeclaredConnection, match="only when log_level is debug"):
            await http.get("/")
    async with client(off, SETTINGS.model_copy(update={"log_level": "debug"})) as http:
        assert (await http.get("/")).status_code == 200


async def test_a_client_can_not_be_led_around_by_a_proxy(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    with pytest.raises(TypeError, match="proxy"):
        endpoint().client(SETTINGS, proxy="http://proxy.example:3128")
    async with client(endpoint()) as http:
        assert not [mounted for mounted in http._mounts.values() if mounted]


@pytest.mark.parametrize(
    ("host", "allowed"),
    [("10.224.1.7", True), ("10.224.2.7", False), ("n1g1.abc.db.example", True), ("n1g1.abc.other.example", False),
     ("2001:db8::1", False), ("abcdb.example", False)],
)  # fmt: skip
def test_a_group_is_checked_against_what_the_settings_know(host, allowed):
    assert endpoint(host=NODES, ports=22).allows(host, 22, SETTINGS) is allowed
    assert not endpoint(host=NODES, ports=22).allows(host, 23, SETTINGS)


def test_a_group_that_the_settings_do_not_know_is_checked_by_port():
    unknown = SETTINGS.model_copy(update={"node_network": ""})
    assert endpoint(host=NODES, ports=22).allows("192.0.2.1", 22, unknown)
    assert not endpoint(host=NODES, ports=22).allows("192.0.2.1", 80, unknown)


def test_an_inbound_declaration_is_no_licence_to_connect():
    assert not endpoint(host=CLIENTS, ports=5432, direction=Direction.INBOUND).allows("192.0.2.1", 5432, SETTINGS)


def test_a_wildcard_covers_names_below_it_only():
    buckets = endpoint(host="*.s3.example")
    assert buckets.allows("bucket.s3.example", 443, SETTINGS)
    assert not buckets.allows("s3.example", 443, SETTINGS)
    assert not buckets.allows("bucket.s3.example.evil", 443, SETTINGS)


def test_hosts_may_come_from_settings():
    hook = endpoint(host=from_url(lambda s: s.public_url, "public_url"))
    assert hook.targets(SETTINGS) == ()
    set_ = SETTINGS.model_copy(update={"public_url": "https://user:secret@hooks.example:8443/T000/secret"})
    [target] = hook.targets(set_)
    assert (target.host, target.port, target.path) == ("hooks.example", 8443, "")
    assert endpoint(host="{fqdn}").targets(SETTINGS)[0].host == "ccx.localhost"
    many = endpoint(host=lambda s: ["a.example", Address("b.example", 8443)], ports=(443, 80))
    assert [(t.host, t.port) for t in many.targets(SETTINGS)] == [
        ("a.example", 443),
        ("a.example", 80),
        ("b.example", 8443),
    ]


@pytest.mark.parametrize(
    ("host", "words"),
    [("{nonsense}", "no setting 'nonsense'"), ("{dsn}", "has no value"), ("{fqdn", "no variable"),
     ("{paths.nope}", "paths.nope")],
)  # fmt: skip
def test_a_template_that_can_not_be_filled_is_refused(host, words):
    with pytest.raises(Invalid, match=words):
        endpoint(host=host).targets(SETTINGS)


def test_a_template_variable_that_refers_to_itself_is_refused():
    cyclic = SETTINGS.model_copy(update={"fqdn": "x.{user_domain}", "user_domain": "y.{fqdn}"})
    with pytest.raises(Invalid, match="fqdn -> user_domain -> fqdn"):
        endpoint(host="{fqdn}").targets(cyclic)


def test_a_bad_url_in_the_settings_is_not_quoted():
    with pytest.raises(Invalid) as refused:
        endpoint(host=from_url(lambda s: "https://user:hunter2@/x", "public_url")).targets(SETTINGS)
    assert "hunter2" not in str(refused.value)
    assert refused.value.field == "public_url"


@pytest.mark.parametrize(
    "facts",
    [{"host": "not a host"}, {"host": "http://x.example"}, {"ports": 0}, {"ports": 65536}, {"host": "1.2.3"},
     {"when_blocked": ""}, {"purpose": ""}, {"section": None}, {"id": "Upper Case"}, {"behind": ("a b",)},
     {"needed": lambda s: True}],
)  # fmt: skip
def test_an_incomplete_or_impossible_declaration_is_refused(facts):
    with pytest.raises(Invalid) as refused:
        endpoint(**facts)
    assert refused.value.remedy


async def test_a_unix_socket_has_a_client_and_is_no_target(tmp_path):
    path = tmp_path / "s"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()

    local = endpoint(host=UnixSocket(lambda s: path), ports=(), protocol=Protocol.UNIX, plane=Plane.INTERNAL)
    assert local.targets(SETTINGS) == ()
    async with await asyncio.start_unix_server(serve, path), local.client(SETTINGS) as http:
        assert (await http.get("/")).text == "ok"


@contextlib.asynccontextmanager
async def echo():
    """A TCP server on loopback that sends back what it gets; yields its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(100))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_sockets_and_streams_come_from_the_declaration():
    async with echo() as port:
        declared = endpoint(host=NODES, ports=port, protocol=Protocol.TCP)
        loopback = SETTINGS.model_copy(update={"node_network": "127.0.0.0/8"})
        connected = await declared.connect("127.0.0.1", loopback)
        assert connected.getpeername() == ("127.0.0.1", port)
        assert not connected.getblocking()
        connected.close()
        reader, writer = await declared.open_connection("127.0.0.1", loopback)
        writer.write(b"hello")
        assert await reader.read() == b"hello"
        writer.close()
        with pytest.raises(UndeclaredConnection):
            await declared.connect("127.0.0.1", SETTINGS)
        with pytest.raises(UndeclaredConnection):
            await declared.connect("127.0.0.1", loopback, port=port % 65535 + 1)


async def test_what_is_outside_goes_by_the_egress_proxy_and_is_checked_all_the_same():
    asked = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head.split(b"\r\n")[0])
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(proxy, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        proxied = SETTINGS.model_copy(update={"egress_proxy": f"http://127.0.0.1:{port}"})
        outside = endpoint(protocol=Protocol.HTTP, ports=80)
        async with outside.client(proxied) as http:
            assert (await http.get("/v1")).text == "ok"
            with pytest.raises(UndeclaredConnection):
                await http.get("http://evil.example/")
    assert asked == [b"GET http://api.example/v1 HTTP/1.1"]
    assert not endpoint(host=NODES, ports=8008).proxied


async def test_ssh_connects_over_the_declarations_socket():
    import asyncssh

    key = asyncssh.generate_private_key("ssh-ed25519")
    server = await asyncssh.listen("127.0.0.1", 0, server_host_keys=[key])
    ssh = endpoint(host="127.0.0.1", ports=server.get_port(), protocol=Protocol.TCP)
    try:
        made = await ssh.connect("127.0.0.1", SETTINGS)
        trusted = asyncssh.import_known_hosts(f"node {key.export_public_key().decode()}")
        with pytest.raises(asyncssh.PermissionDenied):  # the host key was right; we have no login
            await asyncssh.connect(
                "node", sock=made, known_hosts=trusted, username="x", client_keys=None, agent_path=None, config=None
            )
    finally:
        server.close()
        await server.wait_closed()


def test_urls_for_other_libraries_are_checked():
    nats = endpoint(host="nats.example", ports=4222, protocol=Protocol.TCP)
    assert nats.checked_url("nats://nats.example:4222", SETTINGS) == "nats://nats.example:4222"
    assert nats.checked_url("nats://nats.example", SETTINGS) == "nats://nats.example"
    for wrong in ("nats://evil.example:4222", "nats://nats.example:4223"):
        with pytest.raises(UndeclaredConnection):
            nats.checked_url(wrong, SETTINGS)
    unix = "postgresql+psycopg://ccx@/ccx?host=/run/ccx/default/postgresql"
    assert nats.checked_url(unix, SETTINGS) == unix


def test_a_declaration_can_not_be_changed():
    declared = endpoint()
    with pytest.raises(AttributeError):
        declared.host = "evil.example"
    assert replace(declared, required=False) != declared


@settings(deadline=None)
@given(st.from_regex(r"[a-z0-9]{1,10}(\.[a-z0-9]{1,10}){0,3}", fullmatch=True), st.integers(1, 65535))
def test_only_the_declared_pair_is_ever_allowed(host, port):
    assert endpoint().allows(host, port, SETTINGS) is ((host, port) == ("api.example", 443))
