"""The daemon's HTTP API: one POST for each call of the cloud, a stream of events, names, and faults for tests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ccx.clouds.base import Demand, ServerSpec, Tags, VolumeSpec
from ccx.clouds.local.provider import Provider, Size
from ccx.clouds.local.records import to_firewall
from ccx.clouds.local.resolver import Resolver, check_names
from ccx.clouds.wire import failure
from ccx.errors import CcxError, Invalid, Transient

_HEARTBEAT_S = 10
_LARGEST_BODY = 1 << 20

Body = dict[str, Any]
Handler = Callable[[Provider, Body], Awaitable[object]]


async def _create_server(provider: Provider, body: Body) -> object:
    size = Size(**body["size"]) if body.get("size") else None
    return await provider.create_server(ServerSpec(**body["spec"]), Tags(**body["tags"]), size)


async def _crash(provider: Provider, body: Body) -> None:
    provider.crash(provider.name_of(body["server"]))


async def _silence(provider: Provider, body: Body) -> None:
    provider.events.silent = bool(body["silent"])


_CALLS: dict[str, Handler] = {
    "/cloud/check_capacity": lambda p, b: p.check_capacity([Demand(**demand) for demand in b["demands"]]),
    "/cloud/create_volume": lambda p, b: p.create_volume(VolumeSpec(**b["spec"]), Tags(**b["tags"])),
    "/cloud/delete_volume": lambda p, b: p.delete_volume(b["name"], Tags(**b["tags"])),
    "/cloud/create_server": _create_server,
    "/cloud/get_server": lambda p, b: p.get_server(b["name"]),
    "/cloud/delete_server": lambda p, b: p.delete_server(b["name"], Tags(**b["tags"])),
    "/cloud/power_off": lambda p, b: p.power_off(b["name"], Tags(**b["tags"])),
    "/cloud/power_on": lambda p, b: p.power_on(b["name"], Tags(**b["tags"])),
    "/cloud/put_firewall": lambda p, b: p.put_firewall(to_firewall(b["firewall"]), Tags(**b["tags"])),
    "/cloud/delete_firewall": lambda p, b: p.delete_firewall(b["name"], Tags(**b["tags"])),
    "/cloud/inventory": lambda p, b: p.inventory(b["instance"]),
    "/faults/cut": lambda p, b: p.cut(p.name_of(b["server"]), cut=True),
    "/faults/heal": lambda p, b: p.cut(p.name_of(b["server"]), cut=False),
    "/faults/crash": _crash,
    "/faults/silence": _silence,
}


def make_app(provider: Provider, resolver: Resolver) -> Starlette:
    """The API on a provider and a DNS server that both have started."""

    async def dns(provider: Provider, body: Body) -> None:
        names = check_names(body["zone_part"], body["records"])
        await provider.publish_names(body["zone_part"], names)
        resolver.publish(body["zone_part"], names)

    async def events(_: Request) -> Response:
        return StreamingResponse(_stream(provider), media_type="application/jsonl")

    async def denied(_: Request) -> Response:
        return JSONResponse(await provider.router.denied())

    async def status(_: Request) -> Response:
        place, records = provider.place, provider.records
        return JSONResponse(
            {"instance": place.instance, "subnet": str(place.subnet), "router": str(place.router),
             "servers": len(records.servers), "volumes": len(records.volumes)}
        )  # fmt: skip

    return Starlette(
        routes=[
            *(Route(path, _endpoint(provider, handler), methods=["POST"]) for path, handler in _CALLS.items()),
            Route("/dns", _endpoint(provider, dns), methods=["POST"]),
            Route("/events", events),
            Route("/denied", denied),
            Route("/status", status),
        ]
    )


def _endpoint(provider: Provider, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            body = await _body(request)
            # To its end, also when the caller hangs up: half a call is worse than one that nobody waited for.
            result = await asyncio.shield(asyncio.ensure_future(handler(provider, body)))
        except (KeyError, TypeError, ValueError) as error:
            code, answer = failure(Invalid(f"the request is incomplete or wrong: {type(error).__name__} {error}"))
        except (CcxError, Transient) as error:
            code, answer = failure(error)
        else:
            return JSONResponse(_plain(result))
        return JSONResponse(answer, code)

    return endpoint


async def _body(request: Request) -> Body:
    read = b""
    async for part in request.stream():
        read += part
        if len(read) > _LARGEST_BODY:
            raise Invalid(f"the request is larger than {_LARGEST_BODY} bytes", status=413)
    body = json.loads(read or b"{}")
    if not isinstance(body, dict):
        raise Invalid("the request must be a JSON object")
    return body


async def _stream(provider: Provider) -> AsyncIterator[str]:
    """One event a line, from now on; an empty line says that the stream stands, at first and from time to time."""
    async with provider.events.listening() as queue:
        yield "\n"
        while True:
            try:
                event = await asyncio.wait_for(queue.get(), _HEARTBEAT_S)
            except TimeoutError:
                yield "\n"
            else:
                yield json.dumps(asdict(event)) + "\n"


def _plain(result: Any) -> Any:
    if isinstance(result, list):
        return [asdict(item) for item in result]
    return asdict(result) if result is not None else None
