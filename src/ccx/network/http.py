"""HTTP clients that can reach one declaration only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from ccx.network.kinds import Protocol
from ccx.network.refusal import UndeclaredConnection, calling_module

if TYPE_CHECKING:
    from ccx.network.endpoint import Endpoint
    from ccx.settings import Settings

_TRANSPORT_OPTIONS = ("verify", "cert", "http1", "http2", "limits", "local_address", "retries", "socket_options")
_PORTS = {"https": 443, "http": 80}


def make_client(endpoint: Endpoint, settings: Settings, options: dict[str, Any]) -> httpx.AsyncClient:
    """See :meth:`ccx.network.endpoint.Endpoint.client`."""
    for forbidden in ("proxy", "mounts"):
        if forbidden in options:
            raise TypeError(f"a declaration's client takes no {forbidden}: it would lead elsewhere")
    uds = endpoint.socket_path(settings)
    proxy = settings.egress_proxy if endpoint.by_proxy(settings) else None
    inner = options.pop("transport", None) or httpx.AsyncHTTPTransport(
        uds=uds, proxy=proxy, trust_env=False,
        **{name: options.pop(name) for name in _TRANSPORT_OPTIONS if name in options},
    )  # fmt: skip
    options.setdefault("base_url", _base_url(endpoint, settings))
    transport = inner if uds else CheckedTransport(endpoint, settings, inner)
    return httpx.AsyncClient(transport=transport, trust_env=False, **options)


def _base_url(endpoint: Endpoint, settings: Settings) -> str:
    if endpoint.socket_path(settings):
        return "http://localhost"
    targets = [t for t in endpoint.targets(settings) if t.group is None and not t.host.startswith("*.")]
    if len(targets) != 1:
        return ""
    host, port = targets[0].host, targets[0].port
    scheme = "https" if (targets[0].protocol or endpoint.protocol) is Protocol.HTTPS else "http"
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}" if port == _PORTS[scheme] else f"{scheme}://{host}:{port}"


class CheckedTransport(httpx.AsyncBaseTransport):
    """Lets requests to the declaration's targets pass to ``inner``; refuses all others before anything is sent."""

    def __init__(self, endpoint: Endpoint, settings: Settings, inner: httpx.AsyncBaseTransport) -> None:
        self._endpoint = endpoint
        self._settings = settings
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.raw_host.decode("ascii")
        port = request.url.port or _PORTS.get(request.url.scheme, 0)
        self._endpoint.check(host, port, self._settings)
        if self._is_https(host, port) and request.url.scheme != "https":
            raise UndeclaredConnection(
                f"{self._endpoint.id} is declared as HTTPS, not {request.url.scheme}",
                caller=calling_module(), destination=f"{host}:{port}", nearest=self._endpoint,
                remedy="Use an https:// URL",
            )  # fmt: skip
        return await self._inner.handle_async_request(request)

    def _is_https(self, host: str, port: int) -> bool:
        protocols = {
            target.protocol or self._endpoint.protocol
            for target in self._endpoint.targets(self._settings)
            if target.covers(host, port, self._settings)
        }
        return (protocols or {self._endpoint.protocol}) == {Protocol.HTTPS}

    async def aclose(self) -> None:
        await self._inner.aclose()
