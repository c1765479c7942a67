"""etcd's keys, leases and transactions, as a keeper asks for them, in memory."""

from __future__ import annotations

import base64
import ssl
from typing import Any

from agent.ccx_agent.keeper_etcd import Etcd, EtcdSilent


class Memory(Etcd):
    """``silent``: paths that get no answer any more."""

    def __init__(self) -> None:
        super().__init__(["https://10.0.0.1:2379"], ssl.create_default_context(), 1)
        self.kept: dict[str, dict[str, Any]] = {}
        self.leases: set[str] = set()
        self.silent: set[str] = set()
        self._revision = 0

    def end(self, lease: str) -> None:
        """It was not renewed."""
        self.leases.discard(lease)
        self.kept = {key: pair for key, pair in self.kept.items() if pair["lease"] != lease}

    def lease_of(self, key: str) -> str:
        return str(self.kept[key]["lease"])

    def _call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path in self.silent:
            raise EtcdSilent(f"no etcd member answers: {path}")
        match path.removeprefix("/v3/"):
            case "kv/range":
                first, behind = (base64.b64decode(body[end]).decode() for end in ("key", "range_end"))
                return {"kvs": [pair for key, pair in self.kept.items() if first <= key < behind]}
            case "lease/grant":
                self._revision += 1
                self.leases.add(str(self._revision))
                return {"ID": str(self._revision)}
            case "lease/keepalive":
                return {"result": {"TTL": "10"} if body["ID"] in self.leases else {}}
            case "kv/put":
                self._put(body)
                return {}
            case "kv/txn":
                if any(self._changed(one["key"]) != int(one["mod_revision"]) for one in body["compare"]):
                    return {}
                for one in body["success"]:
                    if "request_put" in one:
                        self._put(one["request_put"])
                    else:
                        self.kept.pop(base64.b64decode(one["request_delete_range"]["key"]).decode(), None)
                return {"succeeded": True}
        raise NotImplementedError(path)

    def _put(self, body: dict[str, Any]) -> None:
        self._revision += 1
        key = base64.b64decode(body["key"]).decode()
        self.kept[key] = {"lease": "0", **body, "mod_revision": str(self._revision)}

    def _changed(self, key: str) -> int:
        pair = self.kept.get(base64.b64decode(key).decode())
        return int(pair["mod_revision"]) if pair else 0
