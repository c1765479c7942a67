"""``python -m ccx.clouds.simulated.server --state FILE --socket PATH``: the simulated cloud as a process of its own.

HTTP with JSON on a unix socket. The driver calls ``/cloud`` and ``/events``, the node channel ``/verb``; at
``/control`` tests (and people who wonder what if) set faults and read what happened.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ccx.clouds.simulated.faults import Fault
from ccx.clouds.simulated.nodes import NodeUnreachable
from ccx.clouds.simulated.state import State
from ccx.clouds.simulated.world import World
from ccx.clouds.wire import Injected, failure
from ccx.errors import CcxError, NotFound, Transient

LONGEST_POLL_SECONDS = 20.0


def make_app(world: World) -> Starlette:
    """The HTTP face of a world; the world starts and stops with it."""

    async def cloud(request: Request) -> Response:
        return JSONResponse(await world.call(request.path_params["call"], await request.json()))

    async def verb(request: Request) -> Response:
        body = await request.json()
        return JSONResponse(await world.verb(body["address"], body["verb"], body["args"], body["token"]))

    async def events(request: Request) -> Response:
        if "after" not in request.query_params:
            return JSONResponse({"last": await world.read(world.state.last_event)})
        wait = min(float(request.query_params.get("wait", 0)), LONGEST_POLL_SECONDS)
        return JSONResponse(await world.events(int(request.query_params["after"]), wait))

    async def add_fault(request: Request) -> Response:
        await world.commit(world.faults.add, Fault(**await request.json()))
        return Response(status_code=204)

    async def clear_faults(request: Request) -> Response:
        await world.commit(world.faults.clear)
        return Response(status_code=204)

    async def limits(request: Request) -> Response:
        await world.commit(world.resources.limit, await request.json())
        return Response(status_code=204)

    async def blocked(request: Request) -> Response:
        await world.commit(world.resources.block, await request.json())
        return Response(status_code=204)

    async def hurt(request: Request) -> Response:
        name, what = request.path_params["name"], request.path_params["what"]
        if what not in ("kill", "freeze", "cut", "heal"):
            raise NotFound(f"a server can't be made to {what}", remedy="There are kill, freeze, cut and heal")
        await world.commit(getattr(world.resources, what), name)
        return Response(status_code=204)

    async def calls(request: Request) -> Response:
        return JSONResponse(await world.read(world.state.calls, int(request.query_params.get("after", 0))))

    async def documents(request: Request) -> Response:
        return JSONResponse(await world.read(world.state.all, request.path_params["kind"]))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await world.start()
        yield
        world.stop()

    return Starlette(
        routes=[
            Route("/cloud/{call}", cloud, methods=["POST"]),
            Route("/verb", verb, methods=["POST"]),
            Route("/events", events),
            Route("/control/faults", add_fault, methods=["POST"]),
            Route("/control/faults", clear_faults, methods=["DELETE"]),
            Route("/control/limits", limits, methods=["PUT"]),
            Route("/control/blocked", blocked, methods=["PUT"]),
            Route("/control/servers/{name}/{what}", hurt, methods=["POST"]),
            Route("/control/calls", calls),
            Route("/control/documents/{kind}", documents),
        ],
        exception_handlers={
            ClientDisconnect: _nobody_listens,
            **dict.fromkeys((CcxError, Transient, Injected, NodeUnreachable), _answer_error),
        },
        lifespan=lifespan,
    )


async def _nobody_listens(request: Request, error: Exception) -> Response:
    """The caller died before it had said everything: killed runners are what this cloud is for."""
    return Response(status_code=400)


async def _answer_error(request: Request, error: Exception) -> Response:
    status, body = failure(error)
    return JSONResponse(body, status)


def main() -> None:
    parser = argparse.ArgumentParser(description="A cloud that exists only in this process and its state file.")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--boot-delay", type=float, default=0.05, help="seconds from create to running")
    parser.add_argument("--lease", type=float, default=30, help="seconds that a dead database leader is waited for")
    options = parser.parse_args()
    os.umask(0o077)
    options.socket.unlink(missing_ok=True)
    world = World(State(options.state), options.boot_delay, options.lease)
    uvicorn.run(
        make_app(world), uds=str(options.socket), log_level="warning", lifespan="on", timeout_graceful_shutdown=1
    )


if __name__ == "__main__":
    main()
