"""The machines' insides: an agent that runs verbs one at a time, as ``ccx-agent`` does on a real node."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from ccx.clouds.simulated.database import Database
from ccx.clouds.simulated.state import Document, State
from ccx.errors import CcxError
from ccx_probe import Answer

Args = dict[str, Any]
Result = dict[str, Any]


class NodeUnreachable(Exception):
    """The machine is absent, off, frozen, or cut from the network."""


class NodeRefused(CcxError):
    """The verb ran and failed, or came with a claim that is no longer valid."""

    status = 502


class Nodes:
    """Every verb runs inside one transaction of the state."""

    def __init__(self, state: State, database: Database) -> None:
        self._state = state
        self._database = database
        self._verbs: dict[str, Callable[[str, Document, Args], Result | None]] = {
            "ping": self._ping,
            "sequence": self._sequence,
            "write-files": self._write_files,
            "services": self._services,
            "reach": self._reach,
            "probe": self._probe,
            "configure": database.configure,
            "start": database.start,
            "stop": database.stop,
            "join": database.join,
            "forget": database.forget,
            "observe": database.observe,
            "release_leader": database.release_leader,
            "switchover": database.switchover,
            "list": database.list_objects,
            "put": database.put_object,
            "drop": database.drop_object,
            "backup-ping": self._ping,
            "backup-put": database.put_object,
            "backup-drop": database.drop_object,
        }

    def at(self, address: str) -> tuple[str, Document]:
        """The machine that answers at an address. Raises :class:`NodeUnreachable`."""
        found = self._state.at(address)
        if found is None:
            raise NodeUnreachable(f"nothing answers at {address}")
        name, server = found
        if not server["alive"] or server["cut"]:
            raise NodeUnreachable(f"{name} does not answer")
        return name, server

    def run(self, address: str, verb: str, args: Args, token: int | None) -> Result:
        """Runs a verb there. A token lower than the last that it saw of that lane is refused, also after a restart."""
        name, server = self.at(address)
        if token is not None:
            lane = "side_token" if verb.startswith("backup-") else "token"
            if token < (seen := server["node"].get(lane, 0)):
                raise NodeRefused(f"token {token} is older than {seen}")
            server["node"][lane] = token
            self._state.put("server", name, server)
        if verb not in self._verbs:
            raise NodeRefused(f"unknown verb {verb}")
        try:
            return self._verbs[verb](name, server, args) or {}
        except (KeyError, ValueError) as error:
            raise NodeRefused(f"{verb}: {error}") from error

    def _ping(self, name: str, server: Document, args: Args) -> Result:
        return {"hostname": server["hostname"], "token": server["node"]["token"]}

    def _sequence(self, name: str, server: Document, args: Args) -> None:
        """One call after another; the first that fails takes back all, as none of this is saved then."""
        for call in args["calls"]:
            self._verbs[call["verb"]](name, server, call["args"])

    def _write_files(self, name: str, server: Document, args: Args) -> None:
        """Of what is written only its digest is kept."""
        written = {one["path"]: hashlib.sha256(one["content"].encode()).hexdigest() for one in args["files"]}
        server["node"]["files"] = server["node"].get("files", {}) | written
        self._state.put("server", name, server)

    def _services(self, name: str, server: Document, args: Args) -> None:
        server["node"]["units"] = sorted({*server["node"].get("units", []), *args.get("enable", [])})
        self._state.put("server", name, server)

    def _reach(self, name: str, server: Document, args: Args) -> Result:
        try:
            self.at(args["address"])
        except NodeUnreachable:
            return {"reached": False}
        return {"reached": True}

    def _probe(self, name: str, server: Document, args: Args) -> Result:
        """As ``ccx-agent`` answers it; what is reached is everything but what :meth:`Resources.block` was told."""
        blocked = (self._state.get("network", "blocked") or {"hosts": []})["hosts"]

        def answer(request: Document) -> Document:
            ok = request["host"] not in blocked
            err = (
                ""
                if ok
                else f"{request['host']}:{request['port']} does not answer: packets to it are dropped on the way"
            )
            return Answer(request["key"], ok, "tcp", "" if ok else "timeout", err).to_json()

        answers = [answer(request) for request in args["requests"]]
        return {"answers": answers, "progress": [{"answer": each} for each in answers]}
