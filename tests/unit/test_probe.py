"""The probe against servers on loopback, each wrong in its own way."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import probe_servers
from tests.probe_servers import Ca, leaf, listening, server

from ccx_probe import Answer, Request, certificates, probe

HERE = "127.0.0.1"


@pytest.fixture(scope="module")
def ca() -> Ca:
    return probe_servers.new_ca("Our CA")


@pytest.fixture(scope="module")
def stranger() -> Ca:
    return probe_servers.new_ca("Inspection CA")


def one(port: int, speaks: str = "https", *, limit: float = 2, ca: str = "", proxy: str = "", **more: object) -> Answer:
    (answer,) = probe(
        [Request("it", HERE, port, speaks, proxied=bool(proxy), **more)],  # type: ignore[arg-type]
        limit=limit, ca=ca, proxy=proxy,
    )  # fmt: skip
    return answer


def free_port() -> int:
    with socket.create_server((HERE, 0)) as taken:
        return int(taken.getsockname()[1])


def test_a_trusted_server_is_answered_for_with_its_chain_and_expiry(tmp_path: Path, ca: Ca) -> None:
    with server(certificate=leaf(tmp_path, ca, HERE, days=(-1, 31))) as port:
        answer = one(port, ca=ca.pem)
    assert (answer.ok, answer.stage, answer.status) == (True, "http", 200)
    assert answer.certificate is not None
    assert answer.certificate.root == answer.certificate.issuer == "Our CA (Example)"
    assert answer.certificate.days == 30
    assert set(answer.seconds) == {"dns", "tcp", "tls", "http"}


@pytest.mark.parametrize("status", [200, 301, 401, 403, 404])
def test_any_answer_of_a_server_shows_that_it_is_reached(status: int) -> None:
    with server(f"HTTP/1.1 {status} Something\r\n\r\n".encode()) as port:
        answer = one(port, "http")
    assert (answer.ok, answer.status) == (True, status)


def test_a_server_that_is_broken_is_no_answer() -> None:
    with server(b"HTTP/1.1 503 Service Unavailable\r\n\r\n") as port:
        answer = one(port, "http")
    assert (answer.ok, answer.stage, answer.code) == (False, "http", "server-error")


@pytest.mark.parametrize(("days", "code"), [((-90, -3), "expired"), ((3, 90), "not-yet-valid")])
def test_a_certificate_out_of_its_time_is_named_as_such(
    tmp_path: Path, ca: Ca, days: tuple[int, int], code: str
) -> None:
    with server(certificate=leaf(tmp_path, ca, HERE, days=days)) as port:
        answer = one(port, ca=ca.pem)
    assert (answer.ok, answer.stage, answer.code) == (False, "tls", code)
    assert answer.certificate is not None
    assert (answer.certificate.days < 0) == (code == "expired")


@pytest.mark.parametrize("send_ca", [True, False])
def test_an_issuer_that_nobody_trusts_is_named(tmp_path: Path, ca: Ca, stranger: Ca, send_ca: bool) -> None:
    with server(certificate=leaf(tmp_path, stranger, HERE, send_ca=send_ca)) as port:
        answer = one(port, ca=ca.pem)
    assert (answer.ok, answer.code) == (False, "untrusted")
    assert answer.certificate is not None
    assert answer.certificate.root == "Inspection CA (Example)"
    assert "Inspection CA (Example)" in answer.err


def test_self_signed_and_wrongly_named_certificates_are_told_apart(tmp_path: Path, ca: Ca) -> None:
    with server(certificate=leaf(tmp_path, None, HERE)) as port:
        assert one(port, ca=ca.pem).code == "self-signed"
    with server(certificate=leaf(tmp_path, ca, "elsewhere.example", "192.0.2.7")) as port:
        answer = one(port, ca=ca.pem)
    assert answer.code == "wrong-name"
    assert "elsewhere.example" in answer.err


def test_what_is_no_tls_and_what_says_nothing_end_in_time(ca: Ca) -> None:
    with server() as port:
        assert one(port).code in ("no-tls", "tls-cut")
    with server(None) as port:
        began = time.monotonic()
        answer = one(port, limit=0.5)
    assert (answer.stage, answer.code) == ("tls", "tls-timeout")
    assert time.monotonic() - began < 2


def test_a_connection_that_is_cut_at_the_clients_hello_is_a_filter_by_name() -> None:
    def cut(connection: socket.socket) -> None:
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()

    with listening(cut) as port:
        answer = one(port)
    assert (answer.stage, answer.code) == ("tls", "tls-cut")


def test_a_refused_port_is_said_to_be_one() -> None:
    answer = one(free_port(), "tcp")
    assert (answer.ok, answer.stage, answer.code) == (False, "tcp", "refused")


def test_a_server_that_drips_its_answer_does_not_hold_the_probe_beyond_its_limit() -> None:
    def drip(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.recv(4096)
            while True:
                connection.sendall(b"H")
                time.sleep(0.05)

    def drip_head(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            while True:
                connection.sendall(b"a: b\r\n")
                time.sleep(0.05)

    for serve, code in ((drip, "no-http"), (drip_head, "http-timeout")):
        with listening(serve) as port:
            began = time.monotonic()
            answer = one(port, "http", limit=0.5)
        assert (answer.ok, answer.code) == (False, code)
        assert time.monotonic() - began < 2


def test_a_redirect_to_another_host_is_told_without_its_path() -> None:
    with server(b"HTTP/1.1 302 Found\r\nLocation: https://cdn.example/signed?key=hunter2\r\n\r\n") as port:
        answer = one(port, "http")
    assert answer.redirect == "cdn.example"
    assert "hunter2" not in json.dumps(answer.to_json())


def test_many_that_hang_take_no_longer_than_one() -> None:
    with server(None) as silent, server() as good:
        asked = [Request(str(n), HERE, silent if n % 3 else good, "http") for n in range(45)]
        came: list[str] = []
        began = time.monotonic()
        answers = probe(asked, lambda answer: came.append(answer.key), limit=1)
    assert time.monotonic() - began < 2.5
    assert [answer.key for answer in answers] == [request.key for request in asked]
    assert [answer.ok for answer in answers] == [n % 3 == 0 for n in range(45)]
    assert sorted(came) == sorted(request.key for request in asked)
    assert int(came[0]) % 3 == 0, "answers are reported as they come, not when all have"


@contextmanager
def resolver(answers: bool) -> Iterator[int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind((HERE, 0))

        def serve() -> None:
            with suppress(OSError):
                while True:
                    question, sender = made.recvfrom(512)
                    if answers:
                        made.sendto(question[:2] + b"\x81\x85" + question[4:], sender)

        threading.Thread(target=serve, daemon=True).start()
        yield made.getsockname()[1]


def test_a_resolver_is_asked_and_only_its_answer_counts() -> None:
    with resolver(True) as port:
        assert one(port, "dns-udp").ok
    with resolver(False) as port:
        answer = one(port, "dns-udp", limit=0.5)
    assert (answer.ok, answer.code) == (False, "timeout")


@contextmanager
def proxy(answer: bytes, seen: list[bytes]) -> Iterator[int]:
    def serve(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            seen.append(connection.recv(4096))
            connection.sendall(answer)

    with listening(serve) as port:
        yield port


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "proxy-refused"),
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "proxy-auth"),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "proxy-failed"),
        (b"SSH-2.0-OpenSSH\r\n", "no-http"),
    ],
)
def test_a_proxys_refusal_is_told_from_the_destinations(answer: bytes, code: str) -> None:
    seen: list[bytes] = []
    with proxy(answer, seen) as port:
        found = one(443, proxy=f"http://{HERE}:{port}")
    assert (found.ok, found.stage, found.code) == (False, "proxy", code)
    assert seen[0].startswith(f"CONNECT {HERE}:443 HTTP/1.1\r\n".encode())


def test_a_proxys_credentials_go_to_it_alone_and_show_nowhere(tmp_path: Path, ca: Ca) -> None:
    seen: list[bytes] = []

    def pipe(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)

    def serve(connection: socket.socket) -> None:
        seen.append(connection.recv(4096))
        with suppress(OSError), connection, socket.create_connection((HERE, port)) as behind:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            threading.Thread(target=pipe, args=(connection, behind), daemon=True).start()
            pipe(behind, connection)

    with server(certificate=leaf(tmp_path, ca, HERE)) as port, listening(serve) as by:
        answer = one(port, ca=ca.pem, proxy=f"http://user:hunter%402@{HERE}:{by}")
    assert answer.ok, answer.err
    assert f"Proxy-Authorization: Basic {base64.b64encode(b'user:hunter@2').decode()}".encode() in seen[0]
    assert "hunter" not in json.dumps(answer.to_json())


def test_answers_and_requests_survive_their_way_as_json(tmp_path: Path, ca: Ca) -> None:
    with server(certificate=leaf(tmp_path, ca, HERE)) as port:
        request = Request("k", HERE, port, "https", "/path")
        assert Request.from_json(json.loads(json.dumps(request.to_json()))) == request
        (answer,) = probe([request], ca=ca.pem)
    assert Answer.from_json(json.loads(json.dumps(answer.to_json()))) == answer


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"key": "k", "host": "a\r\nb", "port": 1, "speaks": "tcp"},
        {"key": "k", "host": "a", "port": "1", "speaks": "tcp"},
    ],
)
def test_what_is_no_request_is_refused(members: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Request.from_json(members)


@given(st.binary(max_size=400))
def test_garbage_is_no_certificate(garbage: bytes) -> None:
    with pytest.raises(ValueError, match="no certificate"):
        certificates.described([garbage], probe_servers.NOW)
