"""Who may call what: every route, by everyone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI

from ccx.ids import new_short_id

from .conftest import PASSWORD, Api, order

Expected = tuple[int, int, int, int]
"""Status for: nobody, the datastore's owner, another user, an operator."""

OPEN = (200, 200, 200, 200)
OWN = (401, 200, 200, 200)
READ = (401, 200, 404, 200)
WRITE = (401, 200, 404, 404)
NOT_YET = (401, 409, 404, 409)
NOT_YET_WRITE = (401, 409, 404, 404)
OPERATOR = (401, 403, 403, 200)
NEEDS_TOKEN = (401, 401, 401, 401)

USER = {"database_username": "app", "database_password": "long enough"}
DATABASE = {"database_name": "orders"}
RULE = {"source": "192.0.2.7", "description": ""}


def sign_up() -> dict[str, Any]:
    return {"login": f"{new_short_id()}@example.net", "password": PASSWORD, "termsAccepted": True}


POLICY: dict[tuple[str, str], tuple[Expected, Callable[[], Any] | None]] = {
    ("GET", "/api/health"): (OPEN, None),
    ("POST", "/api/auth/register"): ((201, 201, 201, 201), sign_up),
    ("POST", "/api/auth/login"): (NEEDS_TOKEN, lambda: {"login": "nobody", "password": "wrong password"}),
    ("POST", "/api/v2/auth/login"): (NEEDS_TOKEN, lambda: {"login": "no one", "password": "wrong password"}),
    ("GET", "/api/auth/check"): (OWN, None),
    ("GET", "/api/v2/auth/check"): (OWN, None),
    ("POST", "/api/auth/oauth2/token"): ((400, 400, 400, 400), None),
    ("GET", "/api/auth/oauth2/clients"): (OWN, None),
    ("POST", "/api/auth/oauth2/clients"): ((401, 201, 201, 201), lambda: {"name": "x"}),
    ("DELETE", "/api/auth/oauth2/clients/{client_id}"): ((401, 404, 404, 404), None),
    ("GET", "/api/content/api/v1/deploy-wizard"): (OWN, None),
    ("POST", "/api/prov/api/v2/cluster"): ((401, 201, 201, 201), order),
    ("PATCH", "/api/prov/api/v2/cluster/{datastore_id}"): (WRITE, lambda: {"tags": ["x"]}),
    ("DELETE", "/api/prov/api/v2/cluster/{datastore_id}"): (WRITE, None),
    ("GET", "/api/deployment/v3/data-stores"): (OWN, None),
    ("GET", "/api/deployment/v3/data-stores/{datastore_id}"): (READ, None),
    ("GET", "/api/deployment/v2/data-stores/{datastore_id}/nodes"): (READ, None),
    ("GET", "/api/deployment/v2/data-stores/{datastore_id}/jobs"): (READ, None),
    ("GET", "/api/deployment/v2/data-stores/{datastore_id}/jobs/{job_id}"): (READ, None),
    # An operator never gets a password that is not the operator's own.
    ("GET", "/api/deployment/v2/data-stores/{datastore_id}/connection"): ((401, 409, 404, 404), None),
    ("GET", "/api/firewall/api/v1/firewalls/{datastore_id}"): (READ, None),
    ("POST", "/api/firewall/api/v1/firewall/{datastore_id}"): ((401, 201, 404, 404), lambda: RULE),
    ("DELETE", "/api/firewall/api/v1/firewall/{datastore_id}"): ((401, 404, 404, 404), lambda: RULE),
    ("GET", "/api/userdb/api/v1/users/{datastore_id}"): (NOT_YET, None),
    ("POST", "/api/userdb/api/v1/user/{datastore_id}"): (NOT_YET_WRITE, lambda: USER),
    ("DELETE", "/api/userdb/api/v1/user/{datastore_id}"): (NOT_YET_WRITE, lambda: {"database_username": "app"}),
    ("GET", "/api/userdb/api/v1/databases/{datastore_id}"): (NOT_YET, None),
    ("POST", "/api/userdb/api/v1/database/{datastore_id}"): (NOT_YET_WRITE, lambda: DATABASE),
    ("DELETE", "/api/userdb/api/v1/database/{datastore_id}"): (NOT_YET_WRITE, lambda: DATABASE),
    ("GET", "/api/deployment/v2/jobs/{job_id}"): (READ, None),
    ("POST", "/api/prov/api/v2/cluster/{datastore_id}/certificates"): ((401, 409, 404, 404), dict),
    ("GET", "/api/prov/api/v2/cluster/{datastore_id}/bootstrap"): (NOT_YET, None),
    ("POST", "/api/prov/api/v2/cluster/{datastore_id}/bootstrap"): (NOT_YET_WRITE, lambda: {"node": "n1g1"}),
    ("GET", "/api/prov/api/v2/cluster/{datastore_id}/reads"): (NOT_YET, None),
    ("POST", "/api/prov/api/v2/cluster/{datastore_id}/reads"): (NOT_YET_WRITE, lambda: {"current": True}),
    ("GET", "/api/backup/api/v1/backups"): (OWN, None),
    ("GET", "/api/backup/api/v1/backups/{datastore_id}"): (READ, None),
    # The simulated cloud has no object store.
    ("POST", "/api/backup/api/v1/backups/{datastore_id}"): ((401, 404, 404, 404), dict),
    ("POST", "/api/backup/api/v1/backups/{datastore_id}/restore"): ((401, 404, 404, 404), dict),
    ("POST", "/api/backup/api/v1/backups/{datastore_id}/drill"): ((401, 404, 404, 404), dict),
    ("POST", "/api/backup/api/v1/backups/{datastore_id}/restore/confirm"): ((401, 409, 404, 404), None),
    ("POST", "/api/backup/api/v1/backups/{datastore_id}/restore/undo"): ((401, 409, 404, 404), None),
    ("POST", "/api/backup/api/v1/backups/{datastore_id}/{backup_id}/restore"): ((401, 404, 404, 404), dict),
    ("POST", "/api/backup/api/v1/backups/{datastore_id}/verify"): ((401, 404, 404, 404), dict),
    ("DELETE", "/api/backup/api/v1/backups/{datastore_id}"): ((401, 409, 404, 404), None),
    ("GET", "/api/backup/api/v1/proof/{datastore_id}"): (READ, None),
    ("GET", "/api/backup/api/v1/policies/{datastore_id}"): (READ, None),
    ("PUT", "/api/backup/api/v1/policies/{datastore_id}"): (WRITE, lambda: {"keep_days": 3}),
    ("POST", "/api/admin/storage/check"): ((401, 403, 403, 404), None),
    ("GET", "/metrics"): (OPERATOR, None),
    ("GET", "/api/admin/datastores"): (OPERATOR, None),
    ("GET", "/api/admin/cloud/inventory"): (OPERATOR, None),
    ("GET", "/api/admin/network/observed"): (OPERATOR, None),
    ("POST", "/api/admin/network/probes"): ((401, 403, 403, 202), dict),
    ("GET", "/api/admin/network/probes/{datastore_id}"): ((401, 403, 403, 404), None),
    ("POST", "/api/node/v1/enrol"): (NEEDS_TOKEN, None),
    ("POST", "/api/node/v1/ready"): (NEEDS_TOKEN, None),
    ("POST", "/api/node/v1/failed"): (NEEDS_TOKEN, None),
    # Last: they end the callers' sessions.
    ("POST", "/api/auth/logout"): (OPEN, None),
    ("POST", "/api/v2/auth/logout"): (OPEN, None),
}


def test_every_route_has_a_policy(app: FastAPI) -> None:
    described = {(method.upper(), path) for path, methods in app.openapi()["paths"].items() for method in methods}
    assert described == set(POLICY)


@pytest.mark.parametrize(("method", "path"), list(POLICY))
async def test_each_caller_gets_what_the_policy_says(
    method: str, path: str, anonymous: Api, user: Api, other: Api, operator: Api
) -> None:
    expected, body = POLICY[method, path]
    uuid = await user.create()
    job = (await user.get(f"/deployment/v2/data-stores/{uuid}/jobs")).json()["jobs"][0]["job_id"]
    concrete = path.removeprefix("/api").format(datastore_id=uuid, job_id=job, client_id="unknown", backup_id="unknown")
    answers = {
        # The owner last: what the owner does may change what the others would meet.
        name: await caller(method, concrete, body() if body else None)
        for name, caller in (("nobody", anonymous), ("other", other), ("operator", operator), ("owner", user))
    }
    seen = tuple(answers[name].status_code for name in ("nobody", "owner", "other", "operator"))
    assert seen == expected
    for answer in answers.values():
        as_text = path == "/metrics" and answer.is_success
        assert answer.headers["content-type"].startswith("text/plain" if as_text else "application/json")
        if answer.status_code >= 400:
            assert answer.json()["code"] == answer.status_code
            assert answer.json()["err"]
