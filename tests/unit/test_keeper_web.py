"""What a keeper answers, and whom; a copy of its data is whole, or is seen not to be."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agent.ccx_agent import mariadb_fresh
from agent.ccx_agent.galera_peers import reports
from agent.ccx_agent.keeper_web import Web, client_context, server_context

from ccx.pki import issue, new_ca

HERE = "127.0.0.1"


@pytest.fixture
def tls(tmp_path: Path) -> dict[str, str]:
    ca = new_ca("the datastore's")
    node = issue(ca, "n1g1", addresses=[HERE])
    files = {"ca": ca.certificate, "certificate": node.certificate, "key": node.key}
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    return {name: str(tmp_path / name) for name in files}


@pytest.fixture
def web(tls: dict[str, str]) -> Iterator[Web]:
    def hand_over(to: str) -> str:
        return "" if to == "n2g1" else f"{to} is no replica"

    status = {"label": "n1g1", "serves": True}
    serves = Web((HERE, 0), server_context(tls), lambda: status, lambda: False, hand_over, [])
    with serves:
        threading.Thread(target=serves.serve_forever, args=(0.01,), daemon=True).start()
        yield serves
        serves.shutdown()


def ask(web: Web, context: ssl.SSLContext, method: str, path: str, body: str = "") -> tuple[int, Any]:
    connection = http.client.HTTPSConnection(HERE, web.server_address[1], timeout=10, context=context)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_it_says_how_it_is_and_hands_over(web: Web, tls: dict[str, str]) -> None:
    context = client_context(tls)
    assert ask(web, context, "GET", "/status") == (200, {"label": "n1g1", "serves": True})
    assert ask(web, context, "GET", "/liveness")[0] == 503
    assert ask(web, context, "GET", "/else")[0] == 404
    assert ask(web, context, "POST", "/hand-over", '{"to": "n2g1"}') == (200, {"err": ""})
    assert ask(web, context, "POST", "/hand-over", '{"to": "n9g1"}') == (409, {"err": "n9g1 is no replica"})
    assert ask(web, context, "POST", "/copy", "{}")[0] == 404, "this server gives copies itself"


def test_who_has_no_certificate_of_the_datastore_is_told_nothing(web: Web, tls: dict[str, str]) -> None:
    stranger = ssl.create_default_context(cafile=tls["ca"])
    with pytest.raises(OSError):  # noqa: PT011 - either end may be the one to say so
        ask(web, stranger, "GET", "/status")


def test_peers_that_are_silent_or_somebody_else_say_nothing(web: Web, tls: dict[str, str]) -> None:
    told = {"label": "n3g1", "port": web.server_address[1], "nodes": {"n1g1": HERE, "n2g1": HERE, "n3g1": "10.0.0.3"}}
    assert reports(told, client_context(tls)) == {"n1g1": {"label": "n1g1", "serves": True}}


@pytest.fixture
def unpacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs that lay down a copy, and where it is then."""
    for name, script in {"mbstream": 'cat >"$3/copied"', "mariadb-backup": ":"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "fresh").mkdir()
    return tmp_path / "fresh"


def test_a_copy_arrives_whole_and_one_that_fails_is_none(web: Web, tls: dict[str, str], unpacks: Path) -> None:
    where, context, progress = (HERE, web.server_address[1]), client_context(tls), unpacks.with_name("progress")
    web.copy = ["head", "-c", "3000000", "/dev/zero"]
    mariadb_fresh.copy(where, context, unpacks, progress)
    assert (unpacks / "copied").stat().st_size == 3_000_000
    assert progress.read_text() == "3000000"
    web.copy = ["sh", "-c", "head -c 3000000 /dev/zero; exit 1"]
    with web.copying:
        pass  # that one has come to its end here too
    with pytest.raises(http.client.IncompleteRead):
        mariadb_fresh.copy(where, context, unpacks, progress)


def test_one_node_at_a_time_is_given_a_copy(web: Web, tls: dict[str, str], unpacks: Path) -> None:
    where, context = (HERE, web.server_address[1]), client_context(tls)
    web.copy = ["true"]
    with web.copying, pytest.raises(mariadb_fresh.Busy):
        mariadb_fresh.copy(where, context, unpacks, unpacks.with_name("progress"))
    mariadb_fresh.copy(where, context, unpacks, unpacks.with_name("progress"))
