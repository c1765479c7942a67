"""Builds the application: middlewares, error handlers, one router per resource, OpenAPI."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.middleware import Middleware
from starlette.staticfiles import StaticFiles

from ccx.rest import (
    admin,
    auth,
    backup_proof,
    backups,
    bootstraps,
    clusters,
    connection,
    data_stores,
    deploy_wizard,
    enrolment,
    firewalls,
    health,
    jobs,
    metrics,
    network,
    nodes,
    oauth2,
    probes,
    reads,
    restores,
    restores_in_place,
    storage,
    userdb,
)
from ccx.rest.context import RestContext
from ccx.rest.errors import add_error_handlers
from ccx.rest.middleware import Bodies, Envelope

_RESOURCES = (
    auth, oauth2, deploy_wizard, clusters, bootstraps, reads, data_stores, nodes, jobs, connection, firewalls, userdb,
    admin, probes, network, enrolment, health, storage, backups, restores, restores_in_place, backup_proof, metrics,
)  # fmt: skip


def create_app(context: RestContext) -> FastAPI:
    """The API, ready to be served on 18091. It owns nothing in ``context``: whoever made that closes it."""
    app = FastAPI(
        title="CCX",
        version=version("ccx"),
        summary="Databases as a service that live behind your firewall",
        openapi_url="/api/openapi.json",
        # FastAPI's pages load their scripts from elsewhere; behind a firewall there is no elsewhere.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        strict_content_type=False,
        middleware=[Middleware(Envelope), Middleware(Bodies)],
        generate_unique_id_function=_name,
    )
    app.state.context = context
    add_error_handlers(app)
    for resource in _RESOURCES:
        app.include_router(resource.router)
    if context.apt is not None:
        app.mount("/apt", StaticFiles(directory=context.apt))
    return app


def _name(route: APIRoute) -> str:
    """An operation's name in OpenAPI: its function's, which are unique over all routers."""
    return route.name
