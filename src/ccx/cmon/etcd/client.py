"""etcd's v3 API, through its JSON gateway: the few calls that membership and fencing need."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httpx

from ccx.errors import Transient


class EtcdSilent(Transient):
    """No member answered in time."""


class EtcdRefused(Transient):
    """A member answered, and refused. Most refusals pass: an election, a member that is not connected yet."""


@dataclass(frozen=True)
class Member:
    id: str
    name: str
    """Empty until it has started for the first time."""
    peer_urls: tuple[str, ...]
    learner: bool


@dataclass(frozen=True)
class Held:
    """A key's value, and the lease that it lives by (``"0"``: none)."""

    value: str
    lease: str


@dataclass(frozen=True)
class Standing:
    """Where a member stands, by its own word."""

    has_leader: bool
    applied: int
    """Index of the last entry of the log that it has applied."""


class Etcd:
    """A cluster's etcd, by the client URLs of its members. Any member that answers will do."""

    def __init__(self, http: httpx.AsyncClient, urls: Iterable[str]) -> None:
        self._http = http
        self._urls = tuple(urls)

    async def glance(self, key: str, limit: float = 0.25) -> Held | None:
        """The key as the quickest member has it, which may be far behind; it answers without a leader."""
        return await self._read(key, limit, serializable=True)

    async def read(self, key: str, limit: float = 1) -> Held | None:
        """The key as a majority has it."""
        return await self._read(key, limit, serializable=False)

    async def _read(self, key: str, limit: float, *, serializable: bool) -> Held | None:
        found = await self._first("/v3/kv/range", {"key": _encoded(key), "serializable": serializable}, limit)
        pairs = found.get("kvs", [])
        if not pairs:
            return None
        return Held(base64.b64decode(pairs[0]["value"]).decode(), str(pairs[0].get("lease", "0")))

    async def revoke(self, lease: str, limit: float = 0.25) -> None:
        """Ends a lease and all keys that live by it. One that has ended already is fine."""
        try:
            await self._first("/v3/lease/revoke", {"ID": lease}, limit)
        except EtcdRefused as refused:
            if "lease not found" not in str(refused):
                raise

    async def put(self, key: str, value: str, limit: float = 2) -> None:
        """Sets the key, which lives by no lease."""
        await self._first("/v3/kv/put", {"key": _encoded(key), "value": _encoded(value)}, limit)

    async def delete(self, key: str, limit: float = 2) -> None:
        await self._first("/v3/kv/deleterange", {"key": _encoded(key)}, limit)

    async def standing(self, url: str, limit: float) -> Standing | None:
        """Of the member at ``url``; None when it does not answer in ``limit`` seconds."""
        try:
            told = await self._call(url, "/v3/maintenance/status", {}, limit)
        except (EtcdSilent, EtcdRefused):
            return None
        return Standing(told.get("leader", "0") != "0", int(told.get("raftAppliedIndex", 0)))

    async def members(self, limit: float = 2) -> list[Member]:
        """All members, as a majority agrees on them."""
        found = await self._first("/v3/cluster/member/list", {"linearizable": True}, limit)
        return [
            Member(entry["ID"], entry.get("name", ""), tuple(entry.get("peerURLs", ())), entry.get("isLearner", False))
            for entry in found["members"]
        ]

    async def add_learner(self, peer_url: str, limit: float = 5) -> None:
        """Adds a member that copies but has no vote yet, so that the majority's size does not change."""
        await self._one_by_one("/v3/cluster/member/add", {"peerURLs": [peer_url], "isLearner": True}, limit)

    async def promote(self, member_id: str, limit: float = 5) -> None:
        """Gives a learner that has caught up its vote; refused until it has."""
        await self._one_by_one("/v3/cluster/member/promote", {"ID": member_id}, limit)

    async def remove(self, member_id: str, limit: float = 5) -> None:
        try:
            await self._one_by_one("/v3/cluster/member/remove", {"ID": member_id}, limit)
        except EtcdRefused as refused:
            if "member not found" not in str(refused):
                raise

    async def _first(self, path: str, body: dict[str, Any], limit: float) -> dict[str, Any]:
        """Asks all members at once and takes the first good answer: for what may be done more than once."""
        calls = [asyncio.ensure_future(self._call(url, path, body, limit)) for url in self._urls]
        refused: EtcdRefused | None = None
        try:
            for done in asyncio.as_completed(calls):
                try:
                    return await done
                except EtcdRefused as error:
                    refused = error
                except EtcdSilent:
                    continue
        finally:
            for call in calls:
                call.cancel()
        raise refused or EtcdSilent(f"none of {len(self._urls)} etcd members answered")

    async def _one_by_one(self, path: str, body: dict[str, Any], limit: float) -> dict[str, Any]:
        """Asks one member after the other until one answers: for what must not be done twice at once."""
        for url in self._urls:
            try:
                return await self._call(url, path, body, limit)
            except EtcdSilent:
                continue
        raise EtcdSilent(f"none of {len(self._urls)} etcd members answered")

    async def _call(self, url: str, path: str, body: dict[str, Any], limit: float) -> dict[str, Any]:
        try:
            async with asyncio.timeout(limit):
                answer = await self._http.post(f"{url}{path}", json=body, timeout=limit)
            found: dict[str, Any] = answer.json()
        except (httpx.HTTPError, OSError, ValueError) as error:
            raise EtcdSilent(f"{url} did not answer: {type(error).__name__}") from error
        if answer.status_code != httpx.codes.OK:
            raise EtcdRefused(f"{url}: {found.get('message') or found.get('error') or answer.status_code}")
        return found


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
