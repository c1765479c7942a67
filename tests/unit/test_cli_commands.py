"""What each command asks the API, and what it prints: results on standard output, everything else on standard error."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.unit.cli_recorded import (
    HANG_UP,
    INVOICES,
    JOB,
    ORDERS,
    WIZARD,
    Recorded,
    control_plane,
    datastore,
    job,
    page,
    step,
)

from ccx.cli import contexts, progress
from ccx.cli.app import run
from ccx.cli.exits import Exit

STORES = "/deployment/v3/data-stores"
JOBS = f"/deployment/v2/data-stores/{ORDERS}/jobs"
CLUSTER = "/prov/api/v2/cluster"


BACKUPS = f"/backup/api/v1/backups/{ORDERS}"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Recorded]:
    with control_plane() as recorded:
        monkeypatch.setenv("CCX_BASE_URL", recorded.url)
        monkeypatch.setenv("CCX_TOKEN", "token-of-the-test")
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
        monkeypatch.delenv("CCX_CA_FILE", raising=False)
        recorded.on("GET", STORES, page(datastore(), datastore(INVOICES, "invoices", "DEGRADED")))
        for store in (datastore(), datastore(INVOICES, "invoices", "DEGRADED")):
            recorded.on("GET", f"{STORES}/{store['uuid']}", store)
        yield recorded


def test_a_list_is_a_table_of_whole_lines_when_nobody_looks(api: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["datastore", "list"]) == Exit.OK
    assert capsys.readouterr().out.splitlines() == [
        "NAME      UUID                                  STATUS    DATABASE     NODES  SIZE   DISK    WHERE       TAGS",
        f"orders    {ORDERS}  STARTED   postgres 17  3      small  80 GiB  local/here  a, b",
        f"invoices  {INVOICES}  DEGRADED  postgres 17  3      small  80 GiB  local/here  a, b",
    ]


def test_json_and_yaml_hold_what_the_api_said_without_passwords(
    api: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["datastore", "list", "--output", "json"])
    as_json = json.loads(capsys.readouterr().out)
    run(["datastore", "list", "-o", "yaml"])
    as_yaml = yaml.safe_load(capsys.readouterr().out)
    assert as_json == as_yaml
    assert [s["cluster_name"] for s in as_json] == ["orders", "invoices"]
    assert "Xy7secret" not in str(as_json)


def test_every_page_of_a_list_is_read(api: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = page(datastore(), total=2), page(datastore(INVOICES, "invoices"), total=2)
    api.on("GET", STORES, first, second)
    run(["datastore", "list", "-o", "json"])
    assert len(json.loads(capsys.readouterr().out)) == 2
    assert [r.query for r in api.asked("GET", STORES)] == ["limit=100&offset=0", "limit=100&offset=1"]


def test_an_empty_list_says_what_to_do_on_standard_error(api: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    api.on("GET", STORES, page())
    assert run(["datastore", "list"]) == Exit.OK
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "No datastores. Create one: ccx datastore create NAME\n"


def test_a_datastore_is_found_by_the_beginning_of_its_uuid(api: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["datastore", "show", "0197f3a9"]) == Exit.OK
    assert capsys.readouterr().out.startswith("name      invoices\n")


def test_an_ambiguous_beginning_lists_what_it_fits(api: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["datastore", "show", "0197f3a"]) == Exit.USAGE
    assert capsys.readouterr().err == (
        f"datastore: '0197f3a' fits several: {ORDERS} (orders), {INVOICES} (invoices). Give the uuid, or more of it\n"
    )


def test_create_names_everything_that_was_left_out_and_waits(api: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    api.on("GET", "/content/api/v1/deploy-wizard", WIZARD)
    api.on("POST", CLUSTER, {"uuid": ORDERS, "cluster_uuid": ORDERS}, status=201)
    api.on("POST", f"/firewall/api/v1/firewall/{ORDERS}", {}, status=201)
    api.on("GET", JOBS, {"jobs": [job("JOB_STATUS_RUNNING")], "total": 1})
    at_first = job("JOB_STATUS_RUNNING", step("reserve", None))
    api.on("GET", f"{JOBS}/{JOB}", at_first, job("JOB_STATUS_FINISHED", step("reserve", 0.4), step("boot", 8.0)))
    assert run(["datastore", "create", "orders", "--allow", "192.0.2.0/24", "--tag", "a", "--tag", "b"]) == Exit.OK
    (sent,) = api.asked("POST", CLUSTER)
    assert sent.body == {
        "general": {"cluster_name": "orders", "cluster_size": 3, "db_vendor": "postgres", "db_version": "",
                    "cluster_type": "", "tags": ["a", "b"]},
        "cloud": {"cloud_provider": "local", "cloud_region": "here"},
        "instance": {"instance_size": "small", "volume_type": "ssd", "volume_size": 80},
        "network": {"network_type": "public", "ha_enabled": True},
        "notifications": {"enabled": False, "emails": []},
    }  # fmt: skip
    (rule,) = api.asked("POST", f"/firewall/api/v1/firewall/{ORDERS}")
    assert rule.body == {"source": "192.0.2.0/24", "description": ""}
    printed = capsys.readouterr()
    assert "name      orders" in printed.out
    assert [line.split() for line in printed.err.splitlines()[-2:]] == [["reserve", "0.4", "s"], ["boot", "8.0", "s"]]


def test_an_answer_that_got_lost_is_asked_for_again_with_the_same_key(api: Recorded) -> None:
    api.on("GET", "/content/api/v1/deploy-wizard", WIZARD)
    api.on("POST", CLUSTER, HANG_UP, {"uuid": ORDERS, "cluster_uuid": ORDERS}, status=201)
    assert run(["datastore", "create", "orders", "--no-wait"]) == Exit.OK
    first, second = api.asked("POST", CLUSTER)
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
    assert first.body == second.body


def test_a_cidr_with_host_bits_is_refused_before_anything_is_made(
    api: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["datastore", "create", "orders", "--allow", "10.0.0.7/8"]) == Exit.USAGE
    assert capsys.readouterr().err == "allow: 10.0.0.7/8 has host bits set. Did you mean 10.0.0.0/8?\n"
    assert api.requests == []


@pytest.mark.parametrize("command", [["datastore", "create", "new"], ["backup", "restore", "orders", "new"]])
def test_a_source_that_nodes_have_no_addresses_for_is_refused_before_anything_is_made(
    api: Recorded, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert run([*command, "--allow", "2001:db8::/32"]) == Exit.USAGE
    assert capsys.readouterr().err.startswith("allow: 2001:db8::/32 is IPv6")
    assert api.requests == []


def test_a_source_that_is_named_twice_is_allowed_once(api: Recorded) -> None:
    api.on("GET", "/content/api/v1/deploy-wizard", WIZARD)
    api.on("POST", CLUSTER, {"uuid": ORDERS, "cluster_uuid": ORDERS}, status=201)
    api.on("POST", f"/firewall/api/v1/firewall/{ORDERS}", {}, status=201)
    allow = ["--allow", "192.0.2.7", "--allow", "192.0.2.7"]
    assert run(["datastore", "create", "orders", *allow, "--no-wait"]) == Exit.OK
    assert len(api.asked("POST", f"/firewall/api/v1/firewall/{ORDERS}")) == 1


def test_what_a_restore_is_told_is_passed_on_however_empty_it_is(api: Recorded) -> None:
    api.refuse("POST", f"{BACKUPS}/restore", 422, "no")
    options = ["--to", "", "--to-lsn", "", "--to-xid", "0", "--backup", "", "--nodes", "0", "--volume-size", "0"]
    run(["backup", "restore", "orders", "again", *options])  # an empty $WHEN must not restore all
    assert api.asked("POST", f"{BACKUPS}/restore")[0].body == {
        "cluster_name": "again", "pitr_stop_time": "", "pitr_stop_lsn": "", "pitr_stop_xid": 0, "backup_id": "",
        "cluster_size": 0, "volume_size": 0, "dry_run": False, "in_place": False,
    }  # fmt: skip


def test_in_place_the_firewall_stays(api: Recorded) -> None:
    assert run(["backup", "restore", "orders", "--in-place", "--allow", "192.0.2.7"]) == Exit.USAGE
    assert api.requests == []


def test_a_job_that_failed_ends_with_1_and_its_reason(api: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    api.on("GET", JOBS, {"jobs": [job()], "total": 1})
    api.on("GET", f"{JOBS}/{JOB}", job("JOB_STATUS_ERRORED", error="node n2g1 did not boot", remedy="Create it again"))
    assert run(["job", "follow", "--datastore", "orders"]) == Exit.FAILED
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "node n2g1 did not boot. Create it again\n"


@pytest.mark.parametrize("of", [[], ["--datastore", ORDERS]])
def test_a_job_that_takes_longer_than_asked_goes_on(
    api: Recorded, capsys: pytest.CaptureFixture[str], of: list[str]
) -> None:
    api.on("GET", f"{JOBS if of else '/deployment/v2/jobs'}/{JOB}", job("JOB_STATUS_RUNNING"))
    assert run(["job", "follow", JOB, *of, "--timeout", "0.01"]) == Exit.FAILED
    assert capsys.readouterr().err.endswith(f"Follow it: ccx job follow {JOB}\n")


def test_a_restarting_control_plane_is_waited_for(api: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    api.on("GET", f"{JOBS}/{JOB}", job("JOB_STATUS_FINISHED"))
    api.answers["GET", f"{JOBS}/{JOB}"].insert(0, (503, {"code": 503, "err": "starting"}, {}))
    assert run(["job", "follow", JOB, "--datastore", ORDERS]) == Exit.OK
    assert capsys.readouterr().err == "the control plane does not answer; waiting for it\n"


def test_a_control_plane_that_is_away_is_waited_for_no_longer_than_asked(api: Recorded) -> None:
    api.refuse("GET", f"{JOBS}/{JOB}", 503, "starting")
    began = time.monotonic()
    assert run(["job", "follow", JOB, "--datastore", ORDERS, "--timeout", "0.1"]) == Exit.FAILED
    assert time.monotonic() - began < progress.PATIENCE / 2


def test_a_job_without_a_name_is_asked_for(api: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["job", "show", ""]) == Exit.USAGE
    assert "Give its id, or --datastore" in capsys.readouterr().err


def test_a_job_is_found_without_its_datastore(api: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    api.on("GET", f"/deployment/v2/jobs/{JOB}", job("JOB_STATUS_FINISHED", step("boot", 3.2)))
    assert run(["job", "show", JOB]) == Exit.OK
    out = capsys.readouterr().out
    assert "took      9.5 s" in out
    assert out.splitlines()[-1].split()[:5] == ["boot", "done", "1", "3.2", "s"]


def test_delete_without_a_terminal_needs_yes(api: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["datastore", "delete", "orders"]) == Exit.USAGE
    assert "give --yes" in capsys.readouterr().err
    assert [r.method for r in api.requests] == ["GET"]


def test_delete_waits_until_the_datastore_is_gone(api: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    api.on("DELETE", f"{CLUSTER}/{ORDERS}")
    running = job("JOB_STATUS_RUNNING", kind="JOB_TYPE_DESTROY_DATASTORE")
    api.on("GET", JOBS, {"jobs": [running, job()], "total": 2})
    assert run(["datastore", "delete", "orders", "--yes"]) == Exit.OK  # its job answers 404: gone with it
    assert capsys.readouterr() == ("", "orders is deleted\n")


def test_delete_with_no_wait_tells_a_script_its_state(api: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    api.on("DELETE", f"{CLUSTER}/{ORDERS}")
    assert run(["datastore", "delete", "orders", "-y", "--no-wait", "-o", "json"]) == Exit.OK
    assert json.loads(capsys.readouterr().out)["cluster_status"] == "DELETING"


BACKED_UP = {
    "backup_id": "1F", "status": "completed", "err": "", "verified_at": "2026-03-01T12:00:00Z", "log_until": None,
    "locked_until": None, "stored": 2**30, "ended_at": "2026-03-01T11:00:00Z",
}  # fmt: skip
TORN = {**BACKED_UP, "backup_id": "2F", "status": "unusable", "err": "2F/bundle/1 is missing"}


def test_deleting_backups_too_says_what_goes_and_wants_the_name(
    api: Recorded, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    api.on("GET", BACKUPS, {"backups": [TORN, BACKED_UP]})
    api.on("DELETE", f"{CLUSTER}/{ORDERS}")
    wish = ["datastore", "delete", "orders", "--delete-backups", "--no-wait"]
    assert run([*wish, "--yes"]) == Exit.USAGE  # that the datastore may go says nothing of its backups
    assert "--confirm orders" in capsys.readouterr().err

    monkeypatch.setattr("sys.stdin", Terminal("orders\n"))
    assert run(wish) == Exit.OK
    asked = capsys.readouterr().err
    assert "2 backups (2.0 GiB in the object store), from 2026-03-01T11:00:00Z to 2026-03-01T11:00:00Z" in asked
    assert run([*wish, "--confirm", "orders"]) == Exit.OK
    assert [r.query for r in api.requests if r.method == "DELETE"] == ["delete_backups=true&confirm=orders"] * 2


def test_verification_names_what_is_damaged_and_fails(api: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    api.on("POST", f"{BACKUPS}/verify", {"job_id": JOB})
    api.on("GET", f"{JOBS}/{JOB}", job("JOB_STATUS_FINISHED"))
    api.on("GET", BACKUPS, {"backups": [BACKED_UP] * 100}, {"backups": [TORN]})
    assert run(["backup", "verify", "orders"]) == Exit.FAILED
    assert "2F/bundle/1 is missing" in capsys.readouterr().out
    api.on("GET", BACKUPS, {"backups": [BACKED_UP]})
    assert run(["backup", "verify", "orders"]) == Exit.OK


def test_a_deleted_datastore_is_found_behind_however_many_backups_of_others(api: Recorded) -> None:
    other = {"datastore_name": "invoices", "datastore_uuid": INVOICES}
    wanted = {"datastore_name": "gone", "datastore_uuid": ORDERS}
    api.on("GET", "/backup/api/v1/backups", {"backups": [other] * 100}, {"backups": [wanted]})
    api.on("GET", BACKUPS, {"backups": []})
    assert run(["backup", "list", "gone"]) == Exit.OK
    assert [r.query for r in api.asked("GET", "/backup/api/v1/backups")] == [
        "limit=100&offset=0", "limit=100&offset=100",
    ]  # fmt: skip


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_rename_and_tag_change_only_what_they_say(api: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    api.on("PATCH", f"{CLUSTER}/{ORDERS}")
    run(["datastore", "rename", "orders", "sales"])
    run(["datastore", "tag", "orders", "x", "y"])
    run(["datastore", "tag", "orders", "--clear"])
    assert [r.body for r in api.asked("PATCH", f"{CLUSTER}/{ORDERS}")] == [
        {"cluster_name": "sales"}, {"tags": ["x", "y"]}, {"tags": []},
    ]  # fmt: skip
    assert run(["datastore", "tag", "orders"]) == Exit.USAGE


def test_firewall_add_shows_the_rules_as_they_are_then(api: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    rule = {"source": "192.0.2.7", "description": "office", "ports": [{"port": "service", "port_no": 5432}]}
    api.on("POST", f"/firewall/api/v1/firewall/{ORDERS}", {}, status=201)
    api.on("GET", f"/firewall/api/v1/firewalls/{ORDERS}", [rule])
    assert run(["firewall", "add", "orders", "192.0.2.7", "--description", "office"]) == Exit.OK
    assert capsys.readouterr().out == (
        "SOURCE     DESCRIPTION  PORTS\n192.0.2.7  office       5432 service\n"
    )  # fmt: skip


def test_firewall_remove_names_the_source(api: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    api.on("DELETE", f"/firewall/api/v1/firewall/{ORDERS}")
    api.on("GET", f"/firewall/api/v1/firewalls/{ORDERS}", [])
    assert run(["firewall", "remove", "orders", "192.0.2.7"]) == Exit.OK
    assert api.asked("DELETE", f"/firewall/api/v1/firewall/{ORDERS}")[0].body == {"source": "192.0.2.7"}
    assert "Nobody may connect" in capsys.readouterr().err


def test_a_made_password_is_shown_once(api: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    api.on("POST", f"/userdb/api/v1/user/{ORDERS}", {"user_name": "app"}, status=201)
    assert run(["user", "create", "orders", "app", "--database", "shop", "-o", "json"]) == Exit.OK
    shown = json.loads(capsys.readouterr().out)
    (sent,) = api.asked("POST", f"/userdb/api/v1/user/{ORDERS}")
    assert sent.body == {"database_username": "app", "database_password": shown["password"], "database_name": "shop"}
    assert len(shown["password"]) == 32
    assert shown["password"].isalnum()


def test_a_given_password_is_read_from_its_file_and_not_shown(
    api: Recorded, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("correct horse\n")
    api.on("POST", f"/userdb/api/v1/user/{ORDERS}", {"user_name": "app"}, status=201)
    assert run(["user", "create", "orders", "app", "--password-file", str(tmp_path / "secret")]) == Exit.OK
    assert api.asked("POST", f"/userdb/api/v1/user/{ORDERS}")[0].body["database_password"] == "correct horse"
    assert "correct horse" not in "".join(capsys.readouterr())


def test_users_and_databases_are_deleted_by_name(api: Recorded) -> None:
    api.on("DELETE", f"/userdb/api/v1/user/{ORDERS}")
    api.on("DELETE", f"/userdb/api/v1/database/{ORDERS}")
    assert run(["user", "delete", "orders", "app"]) == Exit.OK
    assert run(["database", "delete", "orders", "shop", "--yes"]) == Exit.OK
    deleted = [r.body for r in api.requests if r.method == "DELETE"]
    assert deleted == [{"database_username": "app", "database_host": "%"}, {"database_name": "shop"}]


@pytest.mark.parametrize(
    ("there", "code"), [(Terminal("shop\n"), Exit.OK), (Terminal("orders\n"), Exit.USAGE), (io.StringIO(), Exit.USAGE)]
)
def test_a_database_goes_only_when_its_name_is_typed(
    api: Recorded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], there: io.StringIO, code: Exit
) -> None:
    monkeypatch.setattr("sys.stdin", there)
    api.on("DELETE", f"/userdb/api/v1/database/{ORDERS}")
    assert run(["database", "delete", "orders", "shop"]) == code
    assert len(api.asked("DELETE", f"/userdb/api/v1/database/{ORDERS}")) == (code is Exit.OK)
    assert ("Nothing was deleted" in (said := capsys.readouterr().err)) == (code is not Exit.OK and there.isatty()), (
        said
    )


@pytest.mark.parametrize(
    ("command", "path", "told"),
    [
        (["user", "delete", "orders", "app"], f"/userdb/api/v1/user/{ORDERS}", {"user_name": "app"}),
        (
            ["database", "delete", "orders", "shop", "--yes"],
            f"/userdb/api/v1/database/{ORDERS}",
            {"database_name": "shop"},
        ),
        (["token", "revoke", "ccxAbc"], "/auth/oauth2/clients/ccxAbc", {"client_id": "ccxAbc"}),
    ],
)
def test_a_script_is_told_what_was_deleted(
    api: Recorded, capsys: pytest.CaptureFixture[str], command: list[str], path: str, told: dict[str, str]
) -> None:
    api.on("DELETE", path)
    assert run([*command, "--output", "json"]) == Exit.OK
    assert json.loads(capsys.readouterr().out) == told


def test_databases_are_listed_with_their_sizes(api: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    found = {"database_name": "shop", "database_owner": "app", "database_size": 7_900_000, "number_of_tables": 3,
             "status": "created"}  # fmt: skip
    api.on("GET", f"/userdb/api/v1/databases/{ORDERS}", [found])
    assert run(["database", "list", "orders"]) == Exit.OK
    assert capsys.readouterr().out.splitlines()[1].split() == ["shop", "app", "7.5", "MiB", "3", "created"]


def test_nodes_show_roles_and_which_copy_is_synchronous(api: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    node = {"host_uuid": "n", "label": "n2g1", "hostname": "n2g1.k7.db.example.net", "role": "replica", "port": 5432,
            "host_status": "STARTED", "synchronous": True, "lag_bytes": 0, "private_ip": "10.0.0.2", "host_az": "",
            "instance_type": "small"}  # fmt: skip
    api.on("GET", f"/deployment/v2/data-stores/{ORDERS}/nodes", {"uuid": ORDERS, "database_nodes": [node]})
    assert run(["node", "list", "orders"]) == Exit.OK
    assert capsys.readouterr().out.splitlines()[1].split() == [
        "n2g1", "replica", "STARTED", "synchronous", "0", "B", "10.0.0.2", "5432", "small", "n2g1.k7.db.example.net",
    ]  # fmt: skip


@pytest.mark.parametrize(("orphaned", "code"), [(True, Exit.FAILED), (False, Exit.OK)])
def test_inventory_check_ends_with_1_for_orphans_only(
    api: Recorded, capsys: pytest.CaptureFixture[str], orphaned: bool, code: Exit
) -> None:
    resource = {"cloud": "local", "kind": "volume", "name": "ccx-a-k7-1-1", "detail": "80 GiB", "owner": "user:1",
                "datastore_uuid": None, "datastore_name": None, "orphaned": orphaned}  # fmt: skip
    api.on("GET", "/admin/cloud/inventory", {"resources": [resource], "orphaned": int(orphaned)})
    assert run(["cloud", "inventory", "--check"]) == code
    assert run(["cloud", "inventory"]) == Exit.OK
    assert ("ORPHANED" in capsys.readouterr().out) is orphaned


def test_a_client_secret_is_shown_when_it_is_made_and_listed_never(
    api: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    client = {"client_id": "ccxAbc", "name": "terraform", "created_at": "2026-03-01T08:00:00Z"}
    api.on("POST", "/auth/oauth2/clients", {**client, "client_secret": "s3cr3t"}, status=201)
    api.on("GET", "/auth/oauth2/clients", {"clients": [client]})
    api.on("DELETE", "/auth/oauth2/clients/ccxAbc")
    assert run(["token", "create", "terraform"]) == Exit.OK
    assert "s3cr3t" in capsys.readouterr().out
    assert run(["token", "list"]) == Exit.OK
    assert capsys.readouterr().out.splitlines()[1].startswith("terraform  ccxAbc")
    assert run(["token", "revoke", "ccxAbc"]) == Exit.OK


def test_the_token_of_the_environment_is_sent_as_bearer(api: Recorded) -> None:
    run(["datastore", "list"])
    assert api.requests[0].headers["Authorization"] == "Bearer token-of-the-test"


def test_a_reader_that_has_seen_enough_is_no_error(api: Recorded) -> None:
    command = f"{sys.executable} -c 'from ccx.cli import main; import sys; sys.exit(main())' datastore list -o json"
    ended = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | true"], capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
    )  # fmt: skip
    assert ended.stderr == ""


def test_contexts_are_listed_used_and_forgotten(api: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    both = {"a": contexts.Context("https://a", session="s"), "b": contexts.Context("https://b")}
    contexts.save(contexts.Contexts("a", both))
    assert run(["context", "use", "b"]) == Exit.OK
    run(["context", "list", "-o", "json"])
    assert [c["name"] for c in json.loads(capsys.readouterr().out) if c["current"]] == ["b"]
    assert run(["context", "remove", "b"]) == Exit.OK
    assert run(["context", "use", "b"]) == Exit.NOT_FOUND
    assert "Known: a" in capsys.readouterr().err
