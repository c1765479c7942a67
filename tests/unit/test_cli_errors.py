"""How commands fail: one line on standard error, and an exit code that says of which kind it is."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.cli_recorded import ORDERS, WIZARD, Recorded, control_plane, datastore, page

from ccx.cli import contexts, session
from ccx.cli import datastore as datastore_commands
from ccx.cli.app import run
from ccx.cli.exits import Exit
from ccx.errors import Invalid

STORE = f"/deployment/v3/data-stores/{ORDERS}"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Recorded]:
    with control_plane() as recorded:
        monkeypatch.setenv("CCX_BASE_URL", recorded.url)
        monkeypatch.setenv("CCX_TOKEN", "secret-token")
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
        monkeypatch.delenv("CCX_CA_FILE", raising=False)
        yield recorded


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, Exit.USAGE),
        (401, Exit.UNAUTHENTICATED),
        (402, Exit.USAGE),
        (403, Exit.FAILED),
        (404, Exit.NOT_FOUND),
        (409, Exit.CONFLICT),
        (413, Exit.USAGE),
        (422, Exit.USAGE),
        (429, Exit.FAILED),
        (500, Exit.FAILED),
        (503, Exit.FAILED),
    ],
)
def test_the_exit_code_says_of_which_kind_the_refusal_is(api: Recorded, status: int, code: Exit) -> None:
    api.refuse("GET", STORE, status, "no")
    assert run(["datastore", "show", ORDERS]) == code


def test_a_refusal_is_printed_in_the_apis_words_with_field_and_remedy(
    api: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    api.on("GET", "/content/api/v1/deploy-wizard", WIZARD)
    api.refuse(
        "POST", "/prov/api/v2/cluster", 422, "4 nodes are not offered", "general.cluster_size", "Choose 1, 2 or 3"
    )
    assert run(["datastore", "create", "orders", "--nodes", "4"]) == Exit.USAGE
    assert capsys.readouterr() == ("", "general.cluster_size: 4 nodes are not offered. Choose 1, 2 or 3\n")


def test_a_token_that_is_over_says_so_and_is_not_shown(api: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    api.refuse("GET", STORE, 401, "the token is expired")
    assert run(["datastore", "show", ORDERS]) == Exit.UNAUTHENTICATED
    assert capsys.readouterr().err == "the token is expired. CCX_TOKEN is wrong or expired: get a new one\n"


def test_an_answer_that_is_no_json_is_named_as_such(api: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    api.on("GET", STORE, b"<html>a proxy's page</html>")
    assert run(["datastore", "show", ORDERS]) == Exit.FAILED
    assert "something else than JSON" in capsys.readouterr().err


def test_an_error_page_of_a_proxy_still_gives_a_sentence(api: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    api.on("GET", STORE, b"<html>Bad Gateway</html>", status=502)
    assert run(["datastore", "show", ORDERS]) == Exit.FAILED
    assert capsys.readouterr().err == f"{api.url} answered 502\n"


def test_a_control_plane_that_is_not_there_is_unreachable(
    api: Recorded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setenv("CCX_BASE_URL", url)
        assert run(["datastore", "list"]) == Exit.UNREACHABLE
    assert capsys.readouterr().err.startswith(f"{url} can't be reached: ")


def test_without_any_control_plane_the_way_to_one_is_told(
    api: Recorded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CCX_BASE_URL")
    assert run(["datastore", "list"]) == Exit.UNAUTHENTICATED
    assert "ccx login --url" in capsys.readouterr().err


def test_an_unknown_name_is_not_found(api: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    api.on("GET", "/deployment/v3/data-stores", page(datastore()))
    assert run(["node", "list", "sales"]) == Exit.NOT_FOUND
    assert capsys.readouterr().err == "datastore: no datastore 'sales'. See yours: ccx datastore list\n"


def test_an_unknown_cloud_is_refused_with_those_on_offer(api: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    api.on("GET", "/content/api/v1/deploy-wizard", WIZARD)
    assert run(["datastore", "create", "orders", "--cloud", "moon"]) == Exit.USAGE
    assert capsys.readouterr().err == "cloud: there is no cloud 'moon'. On offer: local\n"
    assert api.asked("POST", "/prov/api/v2/cluster") == []


def test_ctrl_c_ends_with_130(api: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(datastore_commands.resolve, "every", interrupted)
    assert run(["datastore", "list"]) == Exit.INTERRUPTED


@pytest.mark.parametrize("url", ["ccx.example.net", "https://x:port", "https://x:99999", "https://[::1", "https://a b"])
def test_a_url_that_is_none_is_refused(
    api: Recorded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    monkeypatch.setenv("CCX_BASE_URL", url)
    assert run(["datastore", "list"]) == Exit.USAGE
    assert capsys.readouterr().err == f"url: {url!r} is no URL. Give it as https://ccx.example.net\n"


@pytest.mark.parametrize("token", ["gr\u00fcn", "a\nb", "a\x7fb"])
def test_a_token_that_no_header_can_hold_is_named_and_not_shown(
    api: Recorded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], token: str
) -> None:
    monkeypatch.setenv("CCX_TOKEN", token)
    assert run(["datastore", "list"]) == Exit.USAGE
    assert capsys.readouterr().err == "CCX_TOKEN: this is no token. It is the access_token that the API answered\n"
    assert api.requests == []


def test_a_file_that_can_not_be_read_or_written_is_named(tmp_path: Path) -> None:
    file = tmp_path / "ccx/config.yaml"
    file.parent.mkdir()
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(Invalid, match=r"can't read .*config.yaml"):
        contexts.load({"XDG_CONFIG_HOME": str(tmp_path)})
    with pytest.raises(Invalid, match=r"can't read .*config.yaml") as refused:
        session.read_password(str(file))
    assert refused.value.field == "password_file"
    with pytest.raises(Invalid, match=r"can't write .*config.yaml/x"):
        contexts.write_private(file / "x", "")
