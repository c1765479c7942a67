"""The same stores for a process that must stay small: what the control plane's own copy needs, without boto3's 40 MiB.

Requests are signed here (AWS Signature 4), and go out by the declaration's own client. No retries: who calls does so.
"""

from __future__ import annotations

import hashlib
import hmac
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

import httpx

from ccx.network import Endpoint
from ccx.settings import Settings
from ccx.storage.base import Credentials, Location, NoObject, ObjectExists, StoredObject, Unreachable, Untrusted

_WITHIN_S = 20.0


class Shelf(Protocol):
    """The part of :class:`ccx.storage.ObjectStore` that a copy needs; see there. Raises the same errors."""

    async def put(self, key: str, data: bytes, *, only_new: bool = False) -> None: ...

    async def get(self, key: str) -> bytes: ...

    async def list(self, prefix: str) -> list[StoredObject]: ...

    async def delete(self, key: str) -> None: ...

    async def clock(self) -> datetime: ...

    async def close(self) -> None: ...


class LightS3:
    """A bucket behind S3's API, for whole small objects. Keys of letters, digits and ``/._-`` only."""

    def __init__(self, location: Location, credentials: Credentials, endpoint: Endpoint, settings: Settings) -> None:
        self._location = location
        self._credentials = credentials
        parts = urlsplit(location.endpoint)
        virtual = location.style == "virtual"
        self._base = f"{parts.scheme}://{f'{location.bucket}.' if virtual else ''}{parts.netloc}"
        self._root = "/" if virtual else f"/{location.bucket}/"
        self._http = endpoint.client(settings, base_url=self._base, verify=_trust(location), timeout=_WITHIN_S)

    async def put(self, key: str, data: bytes, *, only_new: bool = False) -> None:
        await self._call("put an object", "PUT", key, data=data, headers={"if-none-match": "*"} if only_new else {})

    async def get(self, key: str) -> bytes:
        return (await self._call("get an object", "GET", key)).content

    async def delete(self, key: str) -> None:
        await self._call("delete an object", "DELETE", key)

    async def list(self, prefix: str) -> list[StoredObject]:
        found: list[StoredObject] = []
        query = {"list-type": "2", "prefix": prefix}
        while True:
            answer = await self._call("list objects", "GET", "", query=query)
            page = _without_namespaces(answer.content)
            for entry in page.findall("Contents"):
                found.append(
                    StoredObject(
                        entry.findtext("Key", ""),
                        int(entry.findtext("Size", "0")),
                        datetime.fromisoformat(entry.findtext("LastModified", "").replace("Z", "+00:00")),
                    )
                )
            if page.findtext("IsTruncated") != "true":
                return sorted(found, key=lambda one: one.key)
            query["continuation-token"] = page.findtext("NextContinuationToken", "")

    async def clock(self) -> datetime:
        answer = await self._call("look at the bucket", "GET", "", query={"list-type": "2", "max-keys": "1"})
        return parsedate_to_datetime(answer.headers["date"])

    async def close(self) -> None:
        await self._http.aclose()

    async def _call(
        self, what: str, method: str, key: str, *, query: dict[str, str] | None = None, data: bytes = b"",
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:  # fmt: skip
        path = quote(self._root + key, safe="/-_.~")
        asked = "&".join(
            f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted((query or {}).items())
        )
        signed = self._signed(method, path, asked, data)
        try:
            answer = await self._http.request(
                method, f"{self._base}{path}" + (f"?{asked}" if asked else ""), content=data or None,
                headers={**signed, **(headers or {})},
            )  # fmt: skip
        except httpx.TransportError as error:
            store, reason = f"the object store {self._location.endpoint}", str(error) or type(error).__name__
            if "CERTIFICATE_VERIFY_FAILED" in reason:
                raise Untrusted(
                    f"{store} shows a certificate that can't be trusted: {reason}", field="s3_ca",
                    remedy="Name the CA that signs it in s3_ca",
                ) from None  # fmt: skip
            raise Unreachable(f"{store} does not answer: {reason}") from None
        if answer.is_success:
            return answer
        raise self._refusal(answer, what, key)

    def _refusal(self, answer: httpx.Response, what: str, key: str) -> Exception:
        try:
            said = _without_namespaces(answer.content)
            code, message = said.findtext("Code", ""), said.findtext("Message", "")
        except ElementTree.ParseError:
            code = message = ""
        if answer.status_code == 404 and code in ("NoSuchKey", "") and key:
            return NoObject(f"there is no such object in the bucket {self._location.bucket}")
        if answer.status_code == 412 or code == "ConditionalRequestConflict":
            return ObjectExists(f"there is an object of that key in {self._location.bucket}")
        # Only now is it worth its memory.
        from botocore.exceptions import ClientError

        from ccx.storage.failures import translated

        response = {
            "Error": {"Code": code or str(answer.status_code), "Message": message},
            "ResponseMetadata": {"HTTPStatusCode": answer.status_code},
        }
        return translated(ClientError(response, what), self._location, what)

    def _signed(self, method: str, path: str, query: str, data: bytes) -> dict[str, str]:
        """The headers of a signed request, by AWS's Signature Version 4."""
        moment = datetime.now(UTC)
        stamp, day = moment.strftime("%Y%m%dT%H%M%SZ"), moment.strftime("%Y%m%d")
        digest = hashlib.sha256(data).hexdigest()
        headers = {"host": urlsplit(self._base).netloc, "x-amz-content-sha256": digest, "x-amz-date": stamp}
        names = ";".join(headers)
        canonical = "\n".join(
            [method, path, query, *(f"{name}:{value}" for name, value in headers.items()), "", names, digest]
        )
        scope = f"{day}/{self._location.region}/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = f"AWS4{self._credentials.secret_key}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        credential = f"Credential={self._credentials.access_key}/{scope}"
        return {
            **headers,
            "authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, Signature={signature}",
        }


def _trust(location: Location) -> ssl.SSLContext | bool:
    if not location.verify:
        return False
    return ssl.create_default_context(cafile=str(location.ca) if location.ca else None)


def _without_namespaces(text: bytes) -> ElementTree.Element:
    root = ElementTree.fromstring(text)  # noqa: S314 - of the store that keeps our backups
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root
