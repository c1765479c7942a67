"""etcd for the keeper: one look at everything, a lease, and changes that happen only if nobody was faster."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


class EtcdSilent(Exception):
    """No member answered with what was asked for. A change may have been made all the same."""


@dataclass(frozen=True)
class Entry:
    """A key's value, its last change, and the lease that it lives by (``"0"``: none)."""

    value: str
    revision: int
    lease: str


class Etcd:
    """Keeps a connection to one member; when that fails, the next one's turn has come. ``limit``: seconds for each."""

    def __init__(self, urls: list[str], context: ssl.SSLContext, limit: float) -> None:
        self._urls = urls
        self._context = context
        self._limit = limit
        self._connection: http.client.HTTPSConnection | None = None

    @classmethod
    def of(cls, told: dict[str, Any], context: ssl.SSLContext, limit: float) -> Etcd:
        """The cluster's, by the keeper's configuration; this node's own member first, which costs no other node."""
        return cls(sorted(told["etcd"], key=lambda url: f"//{told['address']}:" not in url), context, limit)

    def know(self, addresses: Iterable[str]) -> None:
        """Whose nodes' members to ask from now on: those of nodes that were replaced since never answer."""
        port = urlsplit(self._urls[0]).port
        now = [f"https://{f'[{address}]' if ':' in address else address}:{port}" for address in addresses]
        kept = [url for url in self._urls if url in now]
        self._urls = [*kept, *(url for url in now if url not in kept)] or self._urls

    def forget_connection(self, context: ssl.SSLContext | None = None) -> None:
        """The next call makes a new one; by another certificate, if one is given."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._context = context or self._context

    def everything(self, prefix: str, *, glance: bool = False) -> dict[str, Entry]:
        """All keys below ``prefix``, without it, as a majority has them now; ``glance``: as one member has them."""
        asked = {"key": _encoded(prefix), "range_end": _encoded(_after(prefix)), "serializable": glance}
        found = self._call("/v3/kv/range", asked)
        return {
            _decoded(pair["key"])[len(prefix) :]: Entry(
                _decoded(pair.get("value", "")), int(pair["mod_revision"]), str(pair.get("lease", "0"))
            )
            for pair in found.get("kvs", [])
        }

    def grant(self, seconds: int) -> str:
        """A new lease."""
        return str(self._call("/v3/lease/grant", {"TTL": seconds})["ID"])

    def renew(self, lease: str) -> bool:
        """False when it has ended already."""
        answer = self._call("/v3/lease/keepalive", {"ID": lease})
        return int(answer.get("result", {}).get("TTL", 0)) > 0

    def put(self, key: str, value: str, lease: str = "0") -> None:
        self._call("/v3/kv/put", _put(key, value, lease))

    def change(self, if_revision: dict[str, int], puts: dict[str, tuple[str, str]], deletes: list[str]) -> bool:
        """All of it, if the keys' last changes are still these (0: absent); else nothing, and False.

        ``puts``: value and lease by key.
        """
        compare = [
            {"key": _encoded(key), "target": "MOD", "result": "EQUAL", "mod_revision": str(revision)}
            for key, revision in if_revision.items()
        ]
        done = [{"request_put": _put(key, value, lease)} for key, (value, lease) in puts.items()]
        gone = [{"request_delete_range": {"key": _encoded(key)}} for key in deletes]
        return bool(self._call("/v3/kv/txn", {"compare": compare, "success": [*done, *gone]}).get("succeeded"))

    def _call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        last = "there is none"
        # As long as a majority's silence takes: where one serves, fewer are silent. The rest are the next call's.
        until = time.monotonic() + self._limit * (len(self._urls) // 2 + 1)
        for _ in self._urls:
            try:
                return self._ask(path, body)
            except (OSError, http.client.HTTPException, ValueError) as error:
                last = f"{type(error).__name__}: {error}"
                self.forget_connection()
                self._urls.append(self._urls.pop(0))
                if time.monotonic() >= until:
                    break
        raise EtcdSilent(f"no etcd member answers: {last}")

    def _ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if self._connection is None:
            where = urlsplit(self._urls[0])
            self._connection = http.client.HTTPSConnection(
                where.hostname or "", where.port, timeout=self._limit, context=self._context
            )
        self._connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        found = json.loads(answer.read())
        if answer.status != http.client.OK or not isinstance(found, dict):
            raise ValueError(f"{path}: {str(found)[:200]}")
        return found


def _put(key: str, value: str, lease: str) -> dict[str, str]:
    return {"key": _encoded(key), "value": _encoded(value), **({"lease": lease} if lease != "0" else {})}


def _after(prefix: str) -> str:
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode()
