"""Logging in: whom to trust, what is kept, and that passwords go nowhere else."""

from __future__ import annotations

import io
import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.cli_recorded import Recorded, control_plane

from ccx.cli import contexts, trust
from ccx.cli.app import run
from ccx.cli.exits import Exit
from ccx.errors import Invalid, Unauthenticated
from ccx.pki import issue, new_ca

USER = "0197f000-0000-7000-8000-000000000001"
SESSION = {
    "user": {"id": USER, "login": "ada@example.net", "firstName": "Ada", "lastName": "L"},
    "scopes": [{"id": USER, "name": "ada@example.net", "type": "user", "role": "user"}],
}
COOKIE = {"Set-Cookie": "ccx-session=s3ss10n; Path=/; HttpOnly; Secure"}


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("CCX_BASE_URL", "CCX_TOKEN", "CCX_CA_FILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "password").write_text("correct horse\n")
    return tmp_path


@pytest.fixture
def ca(home: Path) -> Path:
    """The CA of the TLS control plane."""
    pair = new_ca("CCX installation test")
    leaf = issue(pair, "ccx", addresses=["127.0.0.1"], client=False)
    (home / "ca.crt").write_text(pair.certificate)
    (home / "tls.pem").write_text(leaf.key + leaf.certificate + pair.certificate)
    return home / "ca.crt"


@pytest.fixture
def api(home: Path, ca: Path) -> Iterator[Recorded]:
    with control_plane(home / "tls.pem") as recorded:
        recorded.refuse("GET", "/v2/auth/check", 401, "log in")
        recorded.on("POST", "/v2/auth/login", SESSION, headers=COOKIE)
        recorded.on("POST", "/auth/register", SESSION, status=201, headers=COOKIE)
        recorded.on("POST", "/auth/logout")
        yield recorded


def log_in(api: Recorded, home: Path, *more: str) -> int:
    who = ["--login", "ada@example.net", "--password-file", str(home / "password")]
    return run(["login", "--url", api.url, *who, *more])


def test_a_session_is_kept_for_its_owner_only(api: Recorded, home: Path, ca: Path) -> None:
    assert log_in(api, home, "--ca-file", str(ca), "--name", "test") == Exit.OK
    file = home / "config/ccx/config.yaml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    kept = contexts.load().get("test")
    assert (kept.session, kept.owner, kept.login) == ("s3ss10n", f"user:{USER}", "ada@example.net")
    assert "correct horse" not in file.read_text()


def test_the_session_is_sent_with_its_owner(
    api: Recorded, home: Path, ca: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log_in(api, home, "--ca-file", str(ca))
    api.on("GET", "/v2/auth/check", SESSION)
    assert run(["whoami", "-o", "json"]) == Exit.OK
    assert json.loads(capsys.readouterr().out)["user"]["login"] == "ada@example.net"
    sent = api.requests[-1].headers
    assert (sent["Cookie"], sent["CCX-Owner"]) == ("ccx-session=s3ss10n", f"user:{USER}")


def test_signing_up_registers_and_is_logged_in(api: Recorded, home: Path, ca: Path) -> None:
    assert log_in(api, home, "--ca-file", str(ca), "--sign-up", "--first-name", "Ada") == Exit.OK
    (sent,) = api.asked("POST", "/auth/register")
    assert sent.body == {
        "login": "ada@example.net", "password": "correct horse", "firstName": "Ada", "lastName": "",
        "termsAccepted": True, "allowNewsletters": False, "origin": "cli",
    }  # fmt: skip
    assert contexts.load().get(api.url.removeprefix("https://")).session == "s3ss10n"


def test_a_wrong_password_changes_nothing(
    api: Recorded, home: Path, ca: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api.refuse("POST", "/v2/auth/login", 401, "login or password is wrong")
    assert log_in(api, home, "--ca-file", str(ca)) == Exit.UNAUTHENTICATED
    assert "ccx login --sign-up" in capsys.readouterr().err
    assert contexts.load().contexts == {}


def test_an_unknown_ca_is_not_trusted_where_nobody_can_be_asked(
    api: Recorded, home: Path, ca: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert log_in(api, home) == Exit.USAGE
    said = capsys.readouterr().err
    assert trust.fingerprint(ca.read_text()) in said
    assert api.asked("POST", "/v2/auth/login") == []


def test_an_unknown_ca_is_trusted_when_its_fingerprint_is_the_expected_one(api: Recorded, home: Path, ca: Path) -> None:
    expected = trust.fingerprint(ca.read_text()).replace(":", "").lower()
    assert log_in(api, home, "--fingerprint", expected, "--name", "pinned") == Exit.OK
    assert Path(contexts.load().get("pinned").ca_file).read_text() == ca.read_text()


def test_another_fingerprint_than_the_expected_one_gets_no_password(
    api: Recorded, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert log_in(api, home, "--fingerprint", "00:11") == Exit.USAGE
    assert "not who you mean" in capsys.readouterr().err
    assert api.requests == []


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "code"), [("yes\n", Exit.OK), ("\n", Exit.USAGE), ("no\n", Exit.USAGE)])
def test_a_person_confirms_an_unknown_ca_once(
    api: Recorded, home: Path, monkeypatch: pytest.MonkeyPatch, answer: str, code: Exit
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    assert log_in(api, home, "--name", "asked") == code
    if code == Exit.OK:
        monkeypatch.setattr("sys.stdin", Terminal(""))
        assert log_in(api, home, "--name", "asked") == Exit.OK


def test_a_session_that_is_over_asks_to_log_in_again(
    api: Recorded, home: Path, ca: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log_in(api, home, "--ca-file", str(ca))
    assert run(["whoami"]) == Exit.UNAUTHENTICATED
    assert capsys.readouterr().err.endswith("log in. Log in again: ccx login\n")


def test_logging_out_ends_the_session_here_and_there(api: Recorded, home: Path, ca: Path) -> None:
    log_in(api, home, "--ca-file", str(ca), "--name", "test")
    assert run(["logout"]) == Exit.OK
    (sent,) = api.asked("POST", "/auth/logout")
    assert sent.headers["Cookie"] == "ccx-session=s3ss10n"
    assert contexts.load().get("test").session == ""


def test_no_password_is_taken_from_an_argument(api: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["login", "--url", api.url, "--password", "x"]) == Exit.USAGE
    assert "--password" in capsys.readouterr().err


def test_an_empty_password_file_is_refused(api: Recorded, home: Path, ca: Path) -> None:
    (home / "password").write_text("")
    assert log_in(api, home, "--ca-file", str(ca)) == Exit.USAGE


def test_a_machine_without_an_instance_says_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["login", "--instance", "no-such-instance"]) == Exit.NOT_FOUND
    assert "ccx up" in capsys.readouterr().err


def test_a_damaged_file_is_named(home: Path) -> None:
    (home / "config/ccx").mkdir(parents=True)
    (home / "config/ccx/config.yaml").write_text("contexts: [1, 2")
    with pytest.raises(Invalid, match="is damaged"):
        contexts.load()


def test_the_environment_comes_before_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    contexts.save(contexts.Contexts("a", {"a": contexts.Context("https://a", session="s")}))
    monkeypatch.setenv("CCX_BASE_URL", "https://b/api/")
    monkeypatch.setenv("CCX_TOKEN", "t")
    assert contexts.choose() == contexts.Context("https://b", token="t")
    assert contexts.choose("a").url == "https://a"
    monkeypatch.delenv("CCX_TOKEN")  # logging in would not help: it is about the file
    with pytest.raises(Unauthenticated, match="CCX_TOKEN is not") as refused:
        contexts.choose()
    assert "unset CCX_BASE_URL" in str(refused.value.remedy)


def test_a_token_of_the_environment_is_never_stored(home: Path) -> None:
    contexts.save(contexts.Contexts("a", {"a": contexts.Context("https://a", token="t0ken")}))
    assert "t0ken" not in (home / "config/ccx/config.yaml").read_text()
    assert "t0ken" not in repr(contexts.Context("https://a", token="t0ken", session="t0ken"))
