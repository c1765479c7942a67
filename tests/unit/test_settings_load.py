"""An instance's ccx.yaml is taken, or answered with one line that names file, field and remedy."""

from __future__ import annotations

import sys

import pytest

from ccx.errors import Invalid
from ccx.settings import Paths, load


@pytest.fixture
def etc(monkeypatch, tmp_path):
    """The folder that the instance's settings are read from."""

    class Elsewhere(Paths):
        @classmethod
        def of(cls, instance: str) -> Paths:
            return Paths(etc=tmp_path, var=tmp_path, run=tmp_path)

    monkeypatch.setattr(sys.modules["ccx.settings.load"], "Paths", Elsewhere)
    return tmp_path


def test_the_environment_wins_over_the_file(etc):
    (etc / "ccx.yaml").write_text("fqdn: ccx.example\nnats_url: nats://a\nlog_level: debug\n")
    found = load("x", {"NATS_SERVER": "nats://b"})
    assert (found.instance, found.fqdn, found.nats_url, found.log_level) == ("x", "ccx.example", "nats://b", "debug")


def test_what_is_wrong_in_the_environment_is_named_by_its_variable(etc):
    (etc / "ccx.yaml").write_text("external_dns_ttl: 7\n")
    with pytest.raises(Invalid) as refused:
        load("x", {"EXTERNAL_DNS_TTL": "soon", "LOG_LEVEL": "info"})
    assert str(refused.value).startswith("EXTERNAL_DNS_TTL: ")
    assert "variable" in (refused.value.remedy or "")


def test_a_vendor_is_put_on_offer_by_its_code_alone_and_what_is_said_of_it_wins(etc):
    (etc / "ccx.yaml").write_text("databases: [postgres, {code: mariadb, num_nodes: [3]}]\n")
    postgres, mariadb = load("x", {}).databases
    assert (postgres.code, postgres.versions) == ("postgres", ("17",))
    assert (mariadb.name, mariadb.versions, mariadb.num_nodes) == ("MariaDB", ("11.8",), (3,))


BAD = {
    "strange vendor": ("databases: [oracle]", ": databases: there is no database 'oracle'", "There is: postgres"),
    "no YAML": ("a: 1\nb: [", ":2: this is not YAML", "Correct that line"),
    "no mapping": ("[]", ": this must be a mapping", "Correct the file"),
    "near key": ("fqnd: x", ": fqnd: there is no key 'fqnd'", "Did you mean fqdn?"),
    "near key below": ("kubernetes: {external_dns: {enabld: true}}", ": kubernetes.external_dns.enabld: there is",
                       "Did you mean enabled?"),
    "near key in a list": ("clouds: [{code: a, type: local, name: A, regions: [], instance_types: [], volume_types: "
                           "[], endpiont: x}]", ": clouds.0.endpiont: there is no key", "Did you mean endpoint?"),
    "strange key": ("zebra: 1", ": zebra: there is no key", "Remove it"),
    "no cloud": ("clouds: [3]", ": clouds.0: ", "Correct clouds.0"),
    "no clouds": ("clouds: 3", ": clouds: ", "Correct clouds"),
    "missing": ("clouds: [{type: local}]", ": clouds.0.code: Field required", "Correct clouds.0.code"),
    "none of the choices": ("guard: loud", ": guard: Input should be 'off', 'audit' or 'enforce'", "Correct guard"),
    "no cron": ("backup_full: 0 4 * *", ": backup_full: this is no cron expression", "Correct backup_full"),
    "no such day": ("backup_drill: 0 4 31 2 *", ": backup_drill: this is no cron expression", "Correct backup_drill"),
    "no level": ("log_level: loud", ": log_level: ", "Correct log_level"),
    "nothing to offer": ("databases: [{code: mariadb, versions: []}]", ": databases.0.versions: there is none", "List"),
    "nowhere": ("clouds: [{code: a, type: local, name: A, regions: [], instance_types: [], volume_types: []}]",
                ": clouds.0.regions: there is none", "List"),
    "out of range": ("notify: {smtp_port: 70000}", ": notify.smtp_port: ", "Correct notify.smtp_port"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "err", "remedy"), BAD.values(), ids=BAD)
def test_what_is_wrong_is_one_line_with_file_field_and_remedy(etc, text, err, remedy):
    (etc / "ccx.yaml").write_text(text)
    with pytest.raises(Invalid) as refused:
        load("x", {})
    assert str(refused.value).startswith(f"{etc / 'ccx.yaml'}{err}")
    assert remedy in (refused.value.remedy or "")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["a: hunter2: b", "log_level: [hunter2]", "'https://u:hunter2@h': 1", "[hunter2]",
                                  "clouds: hunter2", "notify: {smtp_port: hunter2}"])  # fmt: skip
def test_a_secret_in_the_wrong_place_is_not_quoted(etc, text):
    (etc / "ccx.yaml").write_text(text)
    with pytest.raises(Invalid) as refused:
        load("x", {})
    assert "hunter2" not in str(refused.value)


def test_what_is_no_text_or_not_there_is_said(etc):
    with pytest.raises(Invalid, match="has no"):
        load("x", {})
    (etc / "ccx.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Invalid, match="no text in UTF-8"):
        load("x", {})
