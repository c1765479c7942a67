"""Nodes phone home: a token, once, for the node's SSH host key; then whether its bootstrap is done."""

from __future__ import annotations

from typing import Annotated

from fastapi import Request
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncSession

from ccx import jobs
from ccx.db import utc_now
from ccx.errors import NotFound, Unauthenticated
from ccx.rest.context import context_of
from ccx.rest.deps import Context, Transaction
from ccx.rest.middleware import log
from ccx.rest.routing import OpenRoute, bearer_of
from ccx.rest.routing import router as make_router
from ccx.rest.schema import AnyText, Body, Done
from ccx.runner.subject import node_scope
from ccx.stores import nodes
from ccx.stores.models import Node

router = make_router(OpenRoute, "/api/node/v1", "nodes phone home")


class Report(Body):
    """The token is in the body, or in ``Authorization: Bearer``."""

    token: Annotated[AnyText, Field(max_length=256)] | None = None


class Failure(Report):
    error: Annotated[AnyText, Field(max_length=4096)] = ""
    log: Annotated[list[Annotated[AnyText, Field(max_length=4096)]], Field(max_length=100)] = Field(
        default_factory=list
    )
    """What the node did last, for the operator's log."""


class Keys(BaseModel):
    """What makes the node the one that we made a name for."""

    host_key: str
    """The SSH host's private key, OpenSSH format."""
    host_key_public: str
    authorized_key: str
    """The control plane's public key: who may log in."""
    agent_version: str
    """Of the package ``ccx-agent`` that the node shall install."""


@router.post("/enrol")
async def enrol(request: Request, tx: Transaction, services: Context, body: Report | None = None) -> Keys:
    """The node's SSH host key. May be repeated until the node is configured, for answers get lost."""
    node = await _node(tx, request, body)
    await nodes.enrolled(tx, node)
    try:
        private = await services.vault.get(tx, node_scope(node.id), "ssh_host_key")
    except NotFound:
        raise Unauthenticated("this node has its keys already", remedy="The control plane replaces the node") from None
    return Keys(
        host_key=private,
        host_key_public=node.host_key or "",
        authorized_key=services.installation.authorized_key,
        agent_version=context_of(request).agent_version,
    )


@router.post("/ready")
async def ready(request: Request, tx: Transaction, body: Report | None = None) -> Done:
    """The node's bootstrap is done: SSH answers with our host key, and the agent is installed."""
    node = await _node(tx, request, body)
    await _wake(tx, node)
    node.phoned_home_at = node.phoned_home_at or utc_now()
    return Done()


@router.post("/failed")
async def failed(request: Request, tx: Transaction, body: Failure | None = None) -> Done:
    """The node's bootstrap can't be done; the reason goes to the datastore's owner."""
    node = await _node(tx, request, body)
    await _wake(tx, node)
    told = body or Failure()
    node.bootstrap_error = _one_line(told.error) or "it gave no reason"
    said = [_one_line(line) for line in told.log]
    log.warning("bootstrap_failed", node=str(node.id), error=node.bootstrap_error, said=said)
    return Done()


async def _wake(tx: AsyncSession, node: Node) -> None:
    """Before anything of the node is changed: jobs, too, lock their own row first."""
    await jobs.wake(tx, str(node.datastore_id))


def _one_line(text: str) -> str:
    """Without line ends and NULs, which neither logs nor the database can hold."""
    return "".join(c if c.isprintable() else " " for c in text).strip()[:1000]


async def _node(tx: AsyncSession, request: Request, body: Report | None) -> Node:
    return await nodes.by_token(tx, bearer_of(request) or (body and body.token) or "")
