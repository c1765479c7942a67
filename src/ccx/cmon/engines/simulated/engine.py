"""The engine of the vendor ``simulated``: it keeps every promise of an engine but the data."""

from __future__ import annotations

from typing import Any

from ccx.cmon.engines.base import Port, Proof, Software
from ccx.cmon.engines.simulated.backups import SimulatedBackups
from ccx.cmon.node_channel import NodeChannel, NodeRefused, NodeUnreachable, Progress
from ccx.cmon.primary import primary_of
from ccx.cmon.spec import ClusterSpec, ClusterView, DatabaseInfo, DatabaseUser, MemberView, NodeSpec, Role
from ccx.errors import Conflict, Invalid, Transient

_PROMISES = {1: "no HA", 2: "no automatic failover", 3: "HA"}
_OBSERVE_SECONDS = 1
_RELEASE_SECONDS = 2


class SimulatedEngine(SimulatedBackups):
    """``channel`` is for what real engines do over their own protocols: observation, leadership, switchover."""

    vendor = "simulated"
    topologies = ("postgres_streaming", "replication")
    speaks = "postgresql"
    places = "lsn"
    image = "baked"
    software = Software()
    ports: tuple[Port, ...] = (
        Port(5432, "database", clients=True, peers=True),
        Port(8008, "status", peers=True, control=True),
    )
    reserved_users = frozenset({"root"})
    reserved_databases = frozenset({"system"})
    reserved_beginnings: tuple[str, ...] = ("sim_",)
    proofs: tuple[Proof, ...] = ()

    def __init__(self, channel: NodeChannel) -> None:
        self._channel = channel

    def promise(self, size: int) -> str:
        if size not in _PROMISES:
            raise Invalid(f"a cluster can't have {size} nodes", remedy="1: no HA, 2: no automatic failover, 3: HA")
        return _PROMISES[size]

    def parameters(self, memory_mib: int, cpus: int) -> dict[str, str]:
        return {"memory": f"{memory_mib // 2}M", "threads": str(cpus)}

    async def configure(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        name = f"{cluster.id}/{cluster.branch}" if cluster.branch else cluster.id
        await channel.call(cluster.node(label), "configure", {"cluster": name, "label": label}, token=token)

    async def certify(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        """It has no certificates; the node is asked, so that one that is gone is noticed."""
        await channel.call(cluster.node(label), "ping", token=token)

    async def shows_certificate(self, cluster: ClusterSpec, label: str) -> bool:
        return await self.alive(cluster, label, _OBSERVE_SECONDS)

    async def start(self, channel: NodeChannel, cluster: ClusterSpec, token: int) -> None:
        for node in cluster.nodes:
            await channel.call(node, "start", token=token)

    async def finish(self, channel: NodeChannel, cluster: ClusterSpec, token: int) -> None:
        await self.put_database(channel, cluster, cluster.admin_database, cluster.admin_user, token)
        await self.put_user(
            channel, cluster, cluster.admin_user, cluster.secrets.admin, cluster.admin_database, True, token
        )

    async def join(
        self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int, progress: Progress | None = None
    ) -> None:
        await channel.call(cluster.node(label), "join", token=token, progress=progress)

    async def forget(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        """Asks a member that stays, so that it works while ``label`` is gone for good."""
        staying = next(n for n in cluster.nodes if n.label != label)
        await channel.call(staying, "forget", {"label": label}, token=token)

    async def observe(self, cluster: ClusterSpec) -> ClusterView:
        unreachable = []
        for node in cluster.nodes:
            try:
                seen = await self._channel.call(node, "observe", timeout=_OBSERVE_SECONDS)
            except (NodeUnreachable, NodeRefused):
                unreachable.append(node.label)
                continue
            return _view(seen, node, unreachable)
        return ClusterView((), None, tuple(unreachable), ("no node answers the control plane",))

    async def alive(self, cluster: ClusterSpec, label: str, within: float) -> bool:
        try:
            await self._channel.call(cluster.node(label), "ping", timeout=within)
        except NodeUnreachable:
            return False
        return True

    async def release_leader(self, cluster: ClusterSpec, dead: str) -> bool:
        for node in cluster.nodes:
            if node.label == dead:
                continue
            try:
                answer = await self._channel.call(node, "release_leader", {"dead": dead}, timeout=_RELEASE_SECONDS)
            except NodeUnreachable:
                continue
            return bool(answer["released"])
        raise Transient(f"no survivor of {cluster.short_id} answered")

    async def peers_see(self, channel: NodeChannel, cluster: ClusterSpec, label: str) -> dict[str, bool]:
        address, answers = cluster.node(label).address, {}
        for node in cluster.nodes:
            if node.label != label:
                try:
                    answers[node.label] = (await channel.call(node, "reach", {"address": address}))["reached"]
                except NodeUnreachable:
                    continue
        return answers

    async def switchover(self, cluster: ClusterSpec, to: str) -> None:
        await self._channel.call(cluster.node(to), "switchover", {"to": to})

    async def users(self, channel: NodeChannel, cluster: ClusterSpec) -> list[DatabaseUser]:
        found = await self._list(channel, cluster, "users")
        return [DatabaseUser(name, grants=user["grants"]) for name, user in sorted(found.items())]

    async def put_user(
        self,
        channel: NodeChannel,
        cluster: ClusterSpec,
        name: str,
        password: str,
        database: str | None,
        admin: bool,
        token: int,
    ) -> DatabaseUser:
        if name in self.reserved_users:
            raise Conflict(f"{name} is reserved", field="database_username", remedy="Choose another name")
        grants = "ALL" if admin else f"ALL ON {database}" if database else ""
        await self._change(channel, cluster, "put", token, kind="users", name=name, value={"grants": grants})
        return DatabaseUser(name, grants=grants)

    async def drop_user(self, channel: NodeChannel, cluster: ClusterSpec, name: str, token: int) -> None:
        await self._change(channel, cluster, "drop", token, kind="users", name=name)

    async def databases(self, channel: NodeChannel, cluster: ClusterSpec) -> list[DatabaseInfo]:
        found = await self._list(channel, cluster, "databases")
        return [DatabaseInfo(name, database["owner"], 0, 0) for name, database in sorted(found.items())]

    async def put_database(
        self, channel: NodeChannel, cluster: ClusterSpec, name: str, owner: str | None, token: int
    ) -> DatabaseInfo:
        value = {"owner": owner or cluster.admin_user}
        await self._change(channel, cluster, "put", token, kind="databases", name=name, value=value)
        return DatabaseInfo(name, value["owner"], 0, 0)

    async def drop_database(self, channel: NodeChannel, cluster: ClusterSpec, name: str, token: int) -> None:
        await self._change(channel, cluster, "drop", token, kind="databases", name=name)

    async def _list(self, channel: NodeChannel, cluster: ClusterSpec, kind: str) -> dict[str, dict[str, Any]]:
        answer = await channel.call(await self._primary(cluster), "list", {"kind": kind})
        objects: dict[str, dict[str, Any]] = answer["objects"]
        return objects

    async def _change(self, channel: NodeChannel, cluster: ClusterSpec, verb: str, token: int, **args: Any) -> None:
        await channel.call(await self._primary(cluster), verb, args, token=token)

    async def _primary(self, cluster: ClusterSpec) -> NodeSpec:
        return primary_of(cluster, await self.observe(cluster))


def _view(seen: dict[str, Any], answered: NodeSpec, unreachable: list[str]) -> ClusterView:
    leader = next((m for m in seen["members"] if m["label"] == seen["leader"] and m["up"]), None)
    streaming = [m["label"] for m in seen["members"] if m["up"] and leader and m is not leader]
    members, problems = [], []
    for m in seen["members"]:
        is_leader = m is leader
        healthy = is_leader or m["label"] in streaming
        members.append(
            MemberView(
                label=m["label"],
                role=Role.PRIMARY if is_leader else Role.REPLICA,
                state="running" if is_leader else "streaming" if healthy else "stopped",
                address=m["address"],
                healthy=healthy,
                synchronous=m["label"] in streaming[:1],
                lag_bytes=0 if healthy and not is_leader else None,
                timeline=seen["timeline"],
            )
        )
        if not healthy:
            problems.append(f"{m['label']} is down" if leader else f"{m['label']} has no primary")
    return ClusterView(tuple(members), answered.label, tuple(unreachable), tuple(problems))
