"""``ccx network probe``: which rows are tried, what an answer means for its row, what is printed, how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import jsonschema_rs
import pytest
from tests.probe_servers import leaf, new_ca, server

from ccx.cli.app import run
from ccx.cli.exits import Exit
from ccx.network.kinds import Direction, Plane
from ccx.network.page import everything
from ccx.network.plan import Plan, plan
from ccx.network.probe import Result, judge, schema, targets
from ccx_probe import Answer, Certificate

HERE = "127.0.0.1"


@pytest.fixture(scope="module")
def whole() -> Plan:
    return plan(everything())


def test_every_outbound_host_is_tried_or_says_why_not(whole: Plan) -> None:
    found = targets(whole, whole.rows)
    hosts = [host for row in whole.rows if row.direction is Direction.OUTBOUND for host in row.hosts]
    assert len(found) >= len(hosts)
    assert len({target.key for target in found if target.request}) == len([t for t in found if t.request])
    for target in found:
        assert (target.request is None) == bool(target.skipped)
        assert target.row.direction is Direction.OUTBOUND


def test_wildcards_and_groups_that_come_and_go_are_not_tried(whole: Plan) -> None:
    skipped = {t.host: t.skipped for t in targets(whole, whole.rows) if t.request is None}
    assert "come and go" in skipped["group:nodes"]
    assert "wildcard" in next(why for host, why in skipped.items() if host.startswith("*."))


def test_groups_of_one_known_address_are_tried_as_what_they_speak() -> None:
    settings = everything().model_copy(update={"control_address": "192.0.2.1", "resolver_address": "192.0.2.2"})
    found = targets(made := plan(settings), made.select(Plane.DATA))
    speaks = {(t.row.id, t.request.host): t.request.speaks for t in found if t.request}
    assert speaks["node.control-plane", "192.0.2.1"] == "https"
    assert speaks["node.dns-udp", "192.0.2.2"] == "dns-udp"
    assert speaks["node.dns-tcp", "192.0.2.2"] == "dns-tcp"


def failed(row_id: str, whole: Plan, **answer: object) -> tuple[str, str, str]:
    """Why, remedy and rule of the row, when its answer is that."""
    target = next(t for t in targets(whole, whole.rows) if t.row.id == row_id and t.request)
    outcome = judge(target, Answer(target.key, False, **answer))  # type: ignore[arg-type]
    assert outcome.result is Result.FAILED
    return outcome.why, outcome.remedy, outcome.rule


def test_a_blocked_row_names_the_rule_to_add(whole: Plan) -> None:
    _, remedy, rule = failed("packages.postgresql", whole, stage="tcp", code="timeout", err="silence")
    assert rule == "allow TCP 80 from the datastores' nodes to apt.postgresql.org"
    assert remedy.lower() == rule.lower()


def test_a_strange_issuer_of_a_vendors_host_is_an_inspecting_proxy(whole: Plan) -> None:
    shown = Certificate("packages.fluentbit.io", "Corp Issuing", "Corp Root", "2030-01-01", 900)
    why, remedy, _ = failed(
        "packages.fluentbit", whole, stage="tls", code="untrusted", err="untrusted", certificate=shown
    )
    assert "inspecting proxy" in why
    assert "Corp Root" in why
    assert "Exempt packages.fluentbit.io from inspection" in remedy


def test_what_a_proxy_refuses_is_to_be_allowed_on_the_proxy() -> None:
    behind = plan(everything().model_copy(update={"egress_proxy": "http://u:hunter2@proxy.example:3128"}))
    why, remedy, _ = failed("packages.fluentbit", behind, stage="proxy", code="proxy-refused", err="no")
    assert remedy == "On the proxy proxy.example:3128, allow packages.fluentbit.io:443"
    assert "hunter2" not in why + remedy


def test_planned_rows_count_only_when_asked_to(whole: Plan) -> None:
    target = next(t for t in targets(whole, whole.rows) if t.row.status == "planned" and t.row.required and t.request)
    outcome = judge(target, Answer(target.key, False, "tcp", "timeout", "silence"))
    assert not outcome.breaks()
    assert outcome.breaks(planned=True)
    optional = replace(outcome, target=replace(target, row=replace(target.row, required=False)))
    assert not optional.breaks(planned=True)


@pytest.fixture
def values(tmp_path: Path):
    """A values file whose only reachable rows are Slack's (on a server of ours) and an OpenStack cloud's."""

    def write(slack: int, keystone: int) -> str:
        file = tmp_path / "values.yaml"
        file.write_text(f"""
            ccxFQDN: ccx.example
            cmon: {{license: aHVudGVyMiBsaWNlbmNl}}
            ccx:
              userDomain: db.example
              cloudSecrets: [os]
              config:
                clouds: [{{code: os, type: openstack, regions: [{{code: r}}]}}]
                databases: [{{code: postgres, versions: ["17"]}}]
              services:
                deployer: {{config: {{openstack_vendors: {{os: {{auth_url: "https://{HERE}:{keystone}/v3"}}}}}}}}
                notify_worker: {{env: {{ENABLE_SLACK: "true", SLACK_URL: "http://{HERE}:{slack}/T/hunter2"}}}}
        """)
        return str(file)

    return write


def probe(values: str, *words: str) -> Exit:
    return Exit(run(["network", "probe", "--values", values, "--only", "notify.slack", *words]))


def test_a_row_that_works_ends_well_and_one_that_does_not_ends_with_1(values, capsys) -> None:
    with server() as good, server(None) as silent:
        file = values(good, silent)
        words = ["--only", "cloud.openstack.keystone", "--limit", "0.5", "--planned"]
        assert probe(file) == Exit.OK
        capsys.readouterr()
        assert probe(file, *words) == Exit.FAILED
    out, err = capsys.readouterr()
    assert "notify.slack" in out
    assert "cloud.openstack.keystone" in err
    assert f"rule to add:  allow TCP {silent} from the control plane to {HERE}\n" in err
    assert "what breaks:" in err
    assert "1 failed (1 of them required)" in err


def test_its_json_is_as_the_schema_says_and_holds_no_secret(values, capsys) -> None:
    with server() as good:
        file = values(good, good)
        assert probe(file, "--only", "cloud.openstack.keystone", "-o", "json") == Exit.OK
    out, err = capsys.readouterr()
    document = json.loads(out)
    jsonschema_rs.validator_for(schema()).validate(document)
    by_id = {outcome["id"]: outcome for outcome in document["outcomes"]}
    assert by_id["notify.slack"]["result"] == "ok"
    assert by_id["cloud.openstack.keystone"]["code"] in ("no-tls", "tls-cut")
    assert document["ok"], "the row is planned"
    assert "hunter2" not in out + err


def test_an_untrusted_certificate_of_an_operators_own_server_is_no_middlebox(values, capsys, tmp_path: Path) -> None:
    with server(certificate=leaf(tmp_path, new_ca("Our own CA"), HERE)) as port:
        assert probe(values(port, port), "--only", "cloud.openstack.keystone", "--planned") == Exit.FAILED
    err = capsys.readouterr().err
    assert "Our own CA" in err
    assert "inspecting" not in err
    assert f"Add the CA of {HERE}" in err


def test_on_a_terminal_it_shows_how_far_it_is_and_leaves_the_result_alone(values) -> None:
    with server() as good, server(None) as silent:
        words = ["--values", values(good, silent), "--only", "notify.slack", "--only", "cloud.openstack.keystone"]
        screen, terminal = os.openpty()
        ccx = Path(sys.executable).with_name("ccx")
        process = subprocess.Popen(
            [ccx, "network", "probe", *words, "--limit", "1"], stdout=subprocess.PIPE, stderr=terminal, text=True,
            env={**os.environ, "TERM": "xterm"},
        )  # fmt: skip
        os.close(terminal)
        shown = b""
        with suppress(OSError):  # its end, on Linux
            while more := os.read(screen, 4096):
                shown += more
        os.close(screen)
        out, _ = process.communicate(timeout=30)
    assert process.returncode == Exit.OK
    assert b"of 2 tried" in shown
    assert "of 2 tried" not in out
    assert [line.split()[0] for line in out.splitlines()] == ["ID", "notify.slack", "cloud.openstack.keystone"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--limit", "60"], "at most 5"),
        (["--only", "no.such"], "no row 'no.such'"),
        (["--plane", "moon"], "Planes are"),
        (["--cloud", "local"], "--from data"),
        (["--from", "data", "--plane", "control"], "--only"),
    ],
)
def test_what_it_can_not_do_is_said_in_one_line(values, capsys, words, said) -> None:
    assert probe(values(1, 1), *words) in (Exit.USAGE, Exit.NOT_FOUND)
    out, err = capsys.readouterr()
    assert said in err
    assert out == ""
