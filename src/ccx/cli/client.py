"""The API over HTTP: one call each way, errors as :class:`ccx.errors.CcxError` with field and remedy."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import httpx

from ccx.cli.contexts import Context
from ccx.cli.exits import Unreachable
from ccx.errors import CcxError, Invalid, Unauthenticated

SESSION_COOKIE = "ccx-session"
_TIMEOUT = httpx.Timeout(30, connect=10)


class Api:
    """A control plane's API. Paths are relative to ``<url>/api``; answers are decoded JSON.

    Raises, from every call: :class:`Unreachable` when nothing answers, :class:`Unauthenticated` on 401, else
    :class:`CcxError` with the API's own words, field and remedy.
    """

    def __init__(self, context: Context, *, transport: httpx.BaseTransport | None = None) -> None:
        self.context = context
        headers = {"Accept": "application/json"}
        if context.token:
            headers["Authorization"] = f"Bearer {context.token}"
        elif context.session:
            headers["Cookie"] = f"{SESSION_COOKIE}={context.session}"
            if context.owner:
                headers["CCX-Owner"] = context.owner
        self._http = httpx.Client(
            base_url=f"{context.url}/api",
            headers=headers,
            verify=trust(context.ca_file),
            timeout=_TIMEOUT,
            trust_env=False,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, **params: str | int) -> Any:
        return self.call("GET", path, params=params)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return self.call("POST", path, body=body)

    def post_once(self, path: str, body: Mapping[str, Any]) -> Any:
        """A POST that is done once however often it is sent: an answer that got lost on the way is asked for again."""
        headers = {"Idempotency-Key": str(uuid4())}
        try:
            response = self.send("POST", path, body=body, headers=headers)
        except Unreachable as lost:
            if not isinstance(lost.__cause__, (httpx.ReadError, httpx.RemoteProtocolError)):
                raise
            response = self.send("POST", path, body=body, headers=headers)
        return self._decoded(response)

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        return self.call("PATCH", path, body=body)

    def delete(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return self.call("DELETE", path, body=body)

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
        within: float | None = None,
    ) -> Any:
        """One request; None for an answer without content. ``within``: seconds, for what takes its time."""
        return self._decoded(self.send(method, path, params=params, body=body, within=within))

    def _decoded(self, response: httpx.Response) -> Any:
        if not response.content:
            return None
        try:
            return response.json()
        except ValueError:
            raise CcxError(
                f"{self.context.url} answered {response.request.method} with something else than JSON",
                status=502,
                remedy="Check that the URL is a CCX control plane: ccx context list",
            ) from None

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        within: float | None = None,
    ) -> httpx.Response:
        """One request, for callers that need more than the body (log-in reads a cookie)."""
        timeout = httpx.Timeout(within, connect=10) if within else _TIMEOUT
        try:
            response = self._http.request(
                method, path, params=params or None, json=body, headers=headers, timeout=timeout
            )
        except httpx.TransportError as error:
            raise unreachable(self.context.url, error) from error
        if response.is_success:
            return response
        raise _refusal(response, self.context)


def trust(ca_file: str) -> ssl.SSLContext:
    """A TLS context that trusts the CA in ``ca_file`` and nothing else; the system's CAs when it is empty."""
    if not ca_file:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cafile=str(Path(ca_file).expanduser()))
    except (OSError, ssl.SSLError) as error:
        raise Invalid(
            f"can't use the CA file {ca_file}: {error}", field="ca_file", remedy="Log in again: ccx login"
        ) from None


def unreachable(url: str, error: httpx.TransportError) -> Unreachable:
    """Why ``url`` can't be talked to, in a user's words."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        reason = str(error).rpartition("CERTIFICATE_VERIFY_FAILED] ")[2].partition(" (_ssl")[0]
        return Unreachable(
            f"{url} shows a certificate that is not trusted: {reason}",
            remedy="Give its CA: ccx login --ca-file FILE (or CCX_CA_FILE)",
        )
    if isinstance(error, httpx.TimeoutException):
        return Unreachable(
            f"{url} did not answer in time", remedy="Check the network, or see on its machine: ccx status"
        )
    return Unreachable(
        f"{url} can't be reached: {error}", remedy="Is the control plane running? On its machine: ccx status"
    )


def _refusal(response: httpx.Response, context: Context) -> CcxError:
    """The API's error. A body in another shape (a proxy's page) still gives a sentence."""
    try:
        shape = response.json()
    except ValueError:
        shape = None
    if not isinstance(shape, dict):
        shape = {}
    err = str(shape.get("err") or shape.get("error") or f"{context.url} answered {response.status_code}")
    if response.status_code == 401:
        remedy = "CCX_TOKEN is wrong or expired: get a new one" if context.token else "Log in again: ccx login"
        return Unauthenticated(err, remedy=remedy)
    known = {"code", "err", "error", "field", "remedy"}
    return CcxError(
        err,
        field=shape.get("field"),
        remedy=shape.get("remedy"),
        status=response.status_code,
        detail={key: value for key, value in shape.items() if key not in known},
    )
