"""``ccx network`` on an operator's files: what it prints, where, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent

import jsonschema_rs
import pytest

from ccx.cli.app import run
from ccx.cli.exits import Exit
from ccx.network.render import FORMATS
from ccx.network.render.json import schema

CCX = """
    ccxFQDN: ccx.example
    cmon: {license: aHVudGVyMiBsaWNlbmNl}
    ccx:
      userDomain: db.example
      cloudSecrets: [aws]
      config:
        clouds: [{code: aws, regions: [{code: eu-west-1}]}]
        databases: [{code: postgres, versions: ["17"]}]
"""
SLACK = (
    "ccx: {services: {notify_worker: {env: {ENABLE_SLACK: 'true', SLACK_URL: 'https://hooks.slack.com/T/hunter2'}}}}"
)


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    for name in ("ENABLE_SLACK", "SLACK_URL", "STRIPE_SECRET_KEY", "SMTP_HOST"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def file(tmp_path: Path):
    def write(text: str, name: str = "values.yaml") -> str:
        path = tmp_path / name
        path.write_text(dedent(text))
        return str(path)

    return write


def test_a_plan_is_made_of_several_values_files(file, capsys):
    words = ["network", "plan", "--values", file(CCX), "--values", file(SLACK, "b.yaml"), "--format", "json"]
    assert run(words) == Exit.OK
    document = json.loads(capsys.readouterr().out)
    jsonschema_rs.validator_for(schema()).validate(document)
    hosts = {e["host"] for e in document["endpoints"]}
    assert {"hooks.slack.com", "apt.postgresql.org", "ec2.eu-west-1.amazonaws.com"} <= hosts
    assert "dlm.mariadb.com" not in hosts
    assert all(e["status"] in ("built", "planned") for e in document["endpoints"])


def test_a_table_shows_status_and_a_ccx_yaml_wins(file, capsys):
    own = file("config: {databases: [{code: mariadb, versions: ['11.8']}]}", "ccx.yaml")
    assert run(["network", "plan", "--values", file(CCX), "--ccx-yaml", own, "--plane", "data"]) == Exit.OK
    out = capsys.readouterr().out
    assert "dlm.mariadb.com" in out
    assert "apt.postgresql.org" not in out
    assert "planned" in out


SECRETS = """
    cmon: {license: aHVudGVyMiBsaWNlbmNl}
    ccx:
      cloudSecrets: [sto]
      env: {ENABLE_EMAIL: "true", SMTP_HOST: m.example, SMTP_PASSWORD: hunter2, ENABLE_SLACK: "true",
            SLACK_URL: "https://hooks.slack.com/services/hunter2", ENABLE_PAGERDUTY: "true", PAGERDUTY_KEY: hunter2,
            STO_PASSWORD: hunter2, STO_S3_ENDPOINT: "https://u:hunter2@s3.example", STRIPE_SECRET_KEY: hunter2}
      config: {clouds: [{code: sto, type: openstack, regions: [{code: r}]}]}
      services:
        billing: {stripe: true}
        deployer: {config: {openstack_vendors: {sto: {auth_url: "https://u:hunter2@k.example:5000/v3"}}}}
"""


@pytest.mark.parametrize("fmt", ["", *sorted(FORMATS)])
def test_a_secret_shows_in_no_output(file, capsys, fmt):
    words = ["network", "plan", "--values", file(SECRETS)]
    assert run([*words, "--format", fmt] if fmt else words) == Exit.OK
    printed = capsys.readouterr()
    assert "hunter2" not in printed.out + printed.err
    assert "aHVudGVyMiBsaWNlbmNl" not in printed.out + printed.err


BAD = {
    "no YAML": ("a: [", "not YAML"),
    "no mapping": ("[]", "holds a mapping"),
    "near key": ("ccxFQND: c.example", "Did you mean ccxFQDN?"),
    "nearest vendor's key": (
        "ccx: {cloudSecrets: [o], config: {clouds: [{code: o, type: openstack}]}, services: {deployer: {config: "
        "{openstack_vendors: {o: {auth_url: 'https://k.example', s3: {endpiont: s.example}}}}}}}",
        "Did you mean endpoint?",
    ),
    "near licence": ("cmon: {licence: aGk=}", "Did you mean license?"),
    "letters swapped": ("ccx: {nats: {servre: n.example}}", "Did you mean server?"),
    "no text": ("ccxFQDN: {a: b}", "must be text"),
    "no region": (
        "ccx: {cloudSecrets: [aws], config: {clouds: [{code: aws, regions: [{code: a}, {code: 'eu west'}]}]}}",
        "config.clouds.0.regions.1.code: this is no region's code",
    ),
    "cyclic variables": ("ccxFQDN: '{ccx.userDomain}'\nccx: {userDomain: '{ccxFQDN}'}", "refers to itself: ccx.user"),
    "database twice": ("ccx: {config: {databases: [{code: postgres}, {code: postgres}]}}", "listed twice"),
    "cloud twice": (
        "ccx: {cloudSecrets: [aws], config: {clouds: [{code: aws, regions: [a]}, {code: aws}]}}",
        "two clouds 'aws'",
    ),
    "cloud without secret": (
        "ccx: {config: {clouds: [{code: o, type: vmware, endpoint: v.example}]}}",
        "no secret is for",
    ),
    "port in a URL": ("ccx: {egressProxy: 'http://p.example:99999'}", "a port from 1 to 65535"),
    "Stripe without a key": ("ccx: {services: {billing: {stripe: true}}}", "Stripe is on without a key"),
    "licence": ("ccx: {}\ncmon: {license: 'plain text!'}", "takes base64"),
    "missing variable": ("ccxFQDN: '{nowhere}'", "the variable nowhere has no value"),
    "cyclic variable": ("ccxFQDN: '{ccxFQDN}'", "refers to itself"),
    "no host": ("ccxFQDN: 'not a host'", "no host name"),
    "no port": ("ccx: {env: {SMTP_PORT: '0'}}", "no port"),
    "empty cloud": ("ccx: {cloudSecrets: [aws], config: {clouds: [{code: aws}]}}", "its plan would be empty"),
    "percona": ("ccx: {config: {databases: [{code: percona, versions: [8]}]}}", 'Write "8.0" or "8.4"'),
    "DNS provider": ("external-dns: {enabled: true, provider: {name: nowhere}}", "DNS provider 'nowhere'"),
    "no list": ("ccx: {config: {clouds: {code: aws}}}", "must be a list"),
    "no map": ("ccx: {services: {notify_worker: {env: [1]}}}", "must be a mapping"),
}


@pytest.mark.parametrize(("text", "words"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line_with_its_file_and_prints_nothing_else(file, capsys, text, words):
    path = file(text)
    assert run(["network", "plan", "--values", path, "--format", "json"]) == Exit.USAGE
    printed = capsys.readouterr()
    assert printed.out == ""
    problem = [line for line in printed.err.splitlines() if not line.startswith("warning: ")]
    assert len(problem) == 1
    assert words in problem[0]
    assert path in problem[0]


@pytest.mark.parametrize("name", sorted(set(BAD) - {"no YAML", "no mapping", "no list", "no map"}))
def test_what_is_refused_by_its_meaning_is_a_warning_when_lenient(file, capsys, name):
    text, words = BAD[name]
    assert run(["network", "plan", "--values", file(text), "--lenient", "--format", "json"]) == Exit.OK
    printed = capsys.readouterr()
    assert any(words in line for line in printed.err.splitlines() if line.startswith("warning: "))
    assert json.loads(printed.out)["endpoints"]


@pytest.mark.parametrize(
    ("text", "words"),
    [("config: {clouds: [{code: aws}]}", "config.clouds.0.regions: the cloud 'aws' has no region"),
     ("legacy: {databses: []}", "legacy.databses: there is no key 'databses'. Did you mean databases?"),
     ("deployer: {config: {openstack_vendors: {o: {auth_url: 'h:0'}}}}", "deployer.config.openstack_vendors.o.auth"),
     ("deployer: {vmware_vendors: {o: {vc_url: 'h:0'}}}", "deployer.vmware_vendors.o.vc_url: this is no URL"),
     ("config: []", "config: this must be a mapping"), ("conifg: {}", "conifg: there is no key")],
)  # fmt: skip
def test_what_is_wrong_in_a_ccx_yaml_is_named_as_it_stands_there(file, capsys, text, words):
    path = file(text, "ccx.yaml")
    assert run(["network", "plan", "--ccx-yaml", path, "--format", "json"]) == Exit.USAGE
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"{path}: {words}" in printed.err


def test_lenient_turns_refusals_into_warnings(file, capsys):
    path = file("ccxFQND: c.example\nccx: {services: {billing: {stripe: true}}}")
    assert run(["network", "plan", "--values", path, "--lenient", "--format", "json"]) == Exit.OK
    printed = capsys.readouterr()
    assert "warning: " in printed.err
    assert "Stripe is on without a key" in printed.err
    assert "api.stripe.com" in printed.out


def test_warnings_stand_in_the_checklist(file, capsys):
    text = CCX.replace("databases: [", "databases: [{code: valkey}, ")
    assert run(["network", "plan", "--values", file(text), "--format", "checklist"]) == Exit.OK
    out = capsys.readouterr().out
    assert "valkey is left out" in out
    assert "- [x] cmon.license pre-set" in out


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--format", "yodel"], "no format 'yodel'"), (["--plane", "astral"], "Planes are"),
     (["--format", "nftables", "--plane", "control", "--plane", "data"], "for one plane"),
     (["--format", "json", "--planned"], "planned rows in any case")],
)  # fmt: skip
def test_wrong_options_are_refused(file, capsys, options, words):
    assert run(["network", "plan", "--values", file(CCX), *options]) == Exit.USAGE
    printed = capsys.readouterr()
    assert printed.out == ""
    assert words in printed.err


def test_formats_for_one_plane_take_it_and_others_are_narrowed_to_it(file, capsys):
    path = file(CCX)
    assert run(["network", "plan", "--values", path, "--format", "nftables", "--plane", "data", "--planned"]) == Exit.OK
    assert "apt_postgresql_org_v4" in capsys.readouterr().out
    assert run(["network", "plan", "--values", path, "--format", "list-domains", "--plane", "data"]) == Exit.OK
    assert "docker.io" not in capsys.readouterr().out
    assert run(["network", "plan", "--values", path, "--format", "json", "--plane", "data"]) == Exit.OK
    assert {e["plane"] for e in json.loads(capsys.readouterr().out)["endpoints"]} == {"data"}


def test_a_file_is_written_whole_or_not_at_all(file, tmp_path, capsys):
    words = ["network", "plan", "--values", file(CCX), "--format", "json"]
    out = tmp_path / "plan.json"
    assert run([*words, "--out", str(out)]) == Exit.OK
    written = out.read_text()
    assert capsys.readouterr().out == ""
    assert run(words) == Exit.OK
    assert capsys.readouterr().out == written
    assert (
        run(["network", "plan", "--values", file("ccx: [", "bad.yaml"), "--format", "json", "--out", str(out)])
        == Exit.USAGE
    )
    assert run([*words[:4], "--out", str(out)]) == Exit.USAGE
    assert run([*words, "--out", str(tmp_path / "nowhere" / "x")]) == Exit.USAGE
    assert run([*words, "--out", str(tmp_path)]) == Exit.USAGE
    assert out.read_text() == written
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.yaml", "plan.json", "values.yaml"]
    assert [line for line in capsys.readouterr().err.splitlines() if str(tmp_path / "nowhere") in line]


def test_explain_says_why_a_destination_is_in_the_plan(file, capsys):
    words = ["network", "explain", "hooks.slack.com:443", "--values", file(SLACK), "-o", "json"]
    assert run(words) == Exit.OK
    [answer] = json.loads(capsys.readouterr().out)
    assert (answer["id"], answer["in_the_plan"]) == ("notify.slack", True)
    assert answer["why"] == "needed when ENABLE_SLACK"
    assert answer["service"] == "ccx-notify-worker"
    assert "queued" in answer["when_blocked"]


def test_explain_says_why_a_destination_is_not_in_the_plan(file, capsys):
    assert run(["network", "explain", "hooks.slack.com", "--values", file(CCX), "-o", "json"]) == Exit.OK
    [answer] = json.loads(capsys.readouterr().out)
    assert (answer["in_the_plan"], answer["why"]) == (False, "needed only when ENABLE_SLACK")


def test_explain_knows_what_stands_behind(file, capsys):
    assert run(["network", "explain", "auth.docker.io", "--values", file(CCX), "-o", "json"]) == Exit.OK
    answers = json.loads(capsys.readouterr().out)
    assert any(a["why"].startswith("docker.io hands out connections to it") for a in answers)


def test_explain_of_a_strange_host_ends_with_3_and_of_no_host_with_2(file, capsys):
    assert run(["network", "explain", "evil.example", "--values", file(CCX)]) == Exit.NOT_FOUND
    assert "Nothing of CCX connects to it" in capsys.readouterr().err
    assert run(["network", "explain", "apt.postgresql.com", "--values", file(CCX)]) == Exit.NOT_FOUND
    assert "The nearest is packages.postgresql" in capsys.readouterr().err
    assert run(["network", "explain", "evil.example:0", "--values", file(CCX)]) == Exit.USAGE
    assert run(["network", "explain", "not a host", "--values", file(CCX)]) == Exit.USAGE
    assert capsys.readouterr().out == ""


def test_diff_ends_with_1_when_something_must_be_added(file, capsys):
    old, new = file(CCX), file(CCX + "    \nexternal-dns: {enabled: true, provider: {name: cloudflare}}\n", "new.yaml")
    new_text = dedent(CCX) + "external-dns: {enabled: true, provider: {name: cloudflare}}\n"
    Path(new).write_text(new_text)
    assert run(["network", "diff", old, new, "-o", "json"]) == Exit.FAILED
    changes = {(c["change"], c["host"]) for c in json.loads(capsys.readouterr().out)}
    assert ("add before", "api.cloudflare.com") in changes
    assert run(["network", "diff", new, old, "-o", "json"]) == Exit.OK
    assert ("remove after", "api.cloudflare.com") in {
        (c["change"], c["host"]) for c in json.loads(capsys.readouterr().out)
    }
    assert run(["network", "diff", old, old]) == Exit.OK
    assert "No rule changes." in capsys.readouterr().err


def test_diff_reads_exported_plans(file, capsys, tmp_path):
    values = file(CCX)
    assert run(["network", "plan", "--values", values, "--format", "json"]) == Exit.OK
    exported = tmp_path / "plan.json"
    exported.write_text(capsys.readouterr().out)
    assert run(["network", "diff", str(exported), values]) == Exit.OK
    assert run(["network", "diff", str(exported), str(exported)]) == Exit.OK
    broken = json.loads(exported.read_text())
    broken["endpoints"][0]["port"] = 99999
    exported.write_text(json.dumps(broken))
    assert run(["network", "diff", str(exported), values]) == Exit.USAGE
    assert "endpoints.0" in capsys.readouterr().err
