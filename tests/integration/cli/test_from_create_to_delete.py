"""The command against the real API, from sign-up to the deletion of a datastore."""

from __future__ import annotations

import httpx
import pytest
from psycopg.conninfo import conninfo_to_dict
from tests.integration.cli.conftest import Person, Served
from tests.integration.rest.conftest import PASSWORD

from ccx import auth
from ccx.cli.exits import Exit
from ccx.ids import new_short_id
from ccx.runner.services import Services

pytestmark = pytest.mark.usefixtures("running")


@pytest.fixture(scope="module")
async def orders(ada: Person, running: None) -> str:
    """Ada's datastore of three nodes; its uuid."""
    ended = await ada.ccx(
        "datastore", "create", "orders", "--nodes", "3", "--allow", "192.0.2.0/24", "--tag", "a", "-o", "json"
    )
    assert ended.json["cluster_status"] == "STARTED", ended.err
    assert " s\n" in ended.err, "each step with its time"
    uuid: str = ended.json["uuid"]
    return uuid


async def test_who_signed_up_is_known(ada: Person) -> None:
    assert (await ada.ccx("whoami", "-o", "json")).json["user"]["login"] == ada.login


async def test_a_datastore_is_listed_and_shown_by_name_uuid_and_prefix(ada: Person, orders: str) -> None:
    assert [s["uuid"] for s in (await ada.ccx("datastore", "list", "-o", "json")).json] == [orders]
    for wanted in ("orders", orders, orders[:13]):
        shown = (await ada.ccx("datastore", "show", wanted, "-o", "json")).json
        assert (shown["uuid"], shown["cluster_size"]) == (orders, 3)
        assert "database_password" not in str(shown)


async def test_its_nodes_are_listed(ada: Person, orders: str) -> None:
    nodes = (await ada.ccx("node", "list", "orders", "-o", "json")).json
    assert sorted(n["label"] for n in nodes) == ["n1g1", "n2g1", "n3g1"]


async def test_its_jobs_are_listed_and_shown_with_their_steps(ada: Person, orders: str) -> None:
    (deploy,) = (await ada.ccx("job", "list", "orders", "-o", "json")).json
    by_id = (await ada.ccx("job", "show", deploy["job_id"], "-o", "json")).json
    newest = (await ada.ccx("job", "follow", "--datastore", "orders", "-o", "json")).json
    assert by_id == {**newest, "datastore_uuid": orders}
    assert all(step["state"] == "done" for step in by_id["steps"])
    assert len(by_id["steps"]) > 3


async def test_sources_are_allowed_and_taken_away(ada: Person, orders: str) -> None:
    added = (await ada.ccx("firewall", "add", "orders", "198.51.100.7", "-o", "json")).json
    assert [rule["source"] for rule in added] == ["192.0.2.0/24", "198.51.100.7"]
    again = await ada.ccx("firewall", "add", "orders", "198.51.100.7")
    assert again.code == Exit.CONFLICT
    removed = (await ada.ccx("firewall", "remove", "orders", "198.51.100.7", "-o", "json")).json
    assert [rule["source"] for rule in removed] == ["192.0.2.0/24"]


async def test_databases_and_users_come_and_go(ada: Person, orders: str) -> None:
    assert (await ada.ccx("database", "create", "orders", "shop")).code == Exit.OK
    assert "shop" in [d["database_name"] for d in (await ada.ccx("database", "list", "orders", "-o", "json")).json]
    made = (await ada.ccx("user", "create", "orders", "app", "--database", "shop", "-o", "json")).json
    listed = await ada.ccx("user", "list", "orders", "-o", "json")
    assert "app" in [u["user_name"] for u in listed.json]
    assert made["password"] not in listed.out
    assert (await ada.ccx("user", "delete", "orders", "app")).code == Exit.OK
    assert (await ada.ccx("database", "delete", "orders", "shop", "--yes")).code == Exit.OK
    assert (await ada.ccx("database", "delete", "orders", "shop", "--yes")).code == Exit.NOT_FOUND


async def test_a_connection_string_names_all_nodes_and_a_ca_that_is_there(ada: Person, orders: str) -> None:
    ended = await ada.ccx("datastore", "url", "orders", "--role", "replica")
    read = conninfo_to_dict(ended.out.strip())
    assert len(read["host"].split(",")) == len(read["hostaddr"].split(",")) == 3
    assert (read["sslmode"], read["target_session_attrs"]) == ("verify-full", "standby")
    assert read["sslrootcert"] == str(ada.home / "config/ccx/ca" / f"{orders}.pem")
    assert "BEGIN CERTIFICATE" in (ada.home / "config/ccx/ca" / f"{orders}.pem").read_text()


async def test_names_and_tags_change(ada: Person, orders: str) -> None:
    assert (await ada.ccx("datastore", "tag", "orders", "b", "c", "-o", "json")).json["tags"] == ["b", "c"]
    assert (await ada.ccx("datastore", "rename", "orders", "sales", "-o", "json")).json["cluster_name"] == "sales"
    assert (await ada.ccx("datastore", "rename", "sales", "orders", "-o", "json")).json["uuid"] == orders


async def test_a_name_that_is_taken_is_a_conflict(ada: Person, orders: str) -> None:
    ended = await ada.ccx("datastore", "create", "orders")
    assert ended.code == Exit.CONFLICT
    assert ended.out == ""
    assert "orders" in ended.err


async def test_an_impossible_node_count_says_what_each_gives(ada: Person) -> None:
    ended = await ada.ccx("datastore", "create", "impossible", "--nodes", "7")
    assert ended.code == Exit.USAGE
    assert ended.err.startswith("general.cluster_size: ")


async def test_somebody_elses_datastore_is_not_there(bob: Person, orders: str) -> None:
    for wanted in ("orders", orders):
        assert (await bob.ccx("datastore", "show", wanted)).code == Exit.NOT_FOUND
    assert (await bob.ccx("datastore", "delete", orders, "--yes")).code == Exit.NOT_FOUND


async def test_a_client_made_here_opens_the_api(ada: Person, served: Served, orders: str) -> None:
    client = (await ada.ccx("token", "create", "robot", "-o", "json")).json
    assert client["client_id"] in [c["client_id"] for c in (await ada.ccx("token", "list", "-o", "json")).json]
    form = {"grant_type": "client_credentials", **{k: client[k] for k in ("client_id", "client_secret")}}
    async with httpx.AsyncClient(verify=False) as web:
        token = (await web.post(f"{served.url}/api/auth/oauth2/token", data=form)).json()["access_token"]
    robot = {"CCX_BASE_URL": served.url, "CCX_TOKEN": token, "CCX_CA_FILE": str(served.ca_file)}
    assert [s["uuid"] for s in (await ada.ccx("datastore", "list", "-o", "json", **robot)).json] == [orders]
    assert (await ada.ccx("token", "revoke", client["client_id"])).code == Exit.OK
    assert (await ada.ccx("datastore", "list", **robot)).code == Exit.UNAUTHENTICATED


async def test_inventory_is_for_operators_and_holds_no_orphans(
    ada: Person, served: Served, services: Services, orders: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert (await ada.ccx("cloud", "inventory")).code == Exit.FAILED
    login = f"op-{new_short_id()}@example.net"
    async with services.sessions.begin() as tx:
        await auth.ensure_operator(tx, login, PASSWORD)
    operator = Person(tmp_path_factory.mktemp("home"), login)
    assert (await operator.log_in(served)).code == Exit.OK
    resources = (await operator.ccx("cloud", "inventory", "--check", "-o", "json")).json
    assert {r["datastore_uuid"] for r in resources} == {orders}
    assert sum(r["kind"] == "server" for r in resources) == 3


async def test_a_wrong_password_is_refused(bob: Person, served: Served) -> None:
    (bob.home / "wrong").write_text("not the password")
    ended = await bob.ccx(
        "login", "--url", served.url, "--ca-file", str(served.ca_file), "--name", "other", "--login", bob.login,
        "--password-file", str(bob.home / "wrong"),
    )  # fmt: skip
    assert ended.code == Exit.UNAUTHENTICATED
    assert (await bob.ccx("whoami")).code == Exit.OK, "the context that there was is untouched"


async def test_a_datastore_is_deleted_in_the_middle_of_its_creation(bob: Person) -> None:
    made = await bob.ccx("datastore", "create", "scratch", "--nodes", "1", "--no-wait", "-o", "json")
    assert made.json["cluster_status"] == "CREATING_CLUSTER"
    ended = await bob.ccx("datastore", "delete", "scratch", "--yes")
    assert ended.code == Exit.OK, ended.err
    assert (await bob.ccx("datastore", "list", "-o", "json")).json == []


async def test_a_deletion_is_waited_for_and_its_job_stays_readable(ada: Person, orders: str) -> None:
    ended = await ada.ccx("datastore", "delete", "orders", "--yes", "-o", "json")
    assert ended.json == {"uuid": orders, "cluster_name": "orders", "cluster_status": "DELETED"}
    assert (await ada.ccx("datastore", "show", orders)).code == Exit.NOT_FOUND
    destroy = (await ada.ccx("job", "show", "--datastore", orders, "-o", "json")).json
    assert (destroy["type"], destroy["status"]) == ("JOB_TYPE_DESTROY_DATASTORE", "JOB_STATUS_FINISHED")


async def test_a_session_ends_with_log_out(bob: Person) -> None:
    assert (await bob.ccx("logout")).code == Exit.OK
    ended = await bob.ccx("datastore", "list")
    assert ended.code == Exit.UNAUTHENTICATED
    assert "ccx login" in ended.err
