"""A clustered database in small: membership, a leader with a lease, users and databases. What the nodes' verbs act on.

The cluster is one document that all its nodes see, as they see their consensus store. A leader that is down keeps its
lease for ``lease`` seconds from when a survivor noticed, or until it is released; a majority then elects another.
"""

from __future__ import annotations

import time
from typing import Any

from ccx.clouds.simulated.state import Document, State

Args = dict[str, Any]
Result = dict[str, Any]


class Database:
    """Methods are verbs: the node's server name and document, and the arguments. A ValueError is a refusal."""

    def __init__(self, state: State, lease: float = 30) -> None:
        self._state = state
        self._lease = lease

    def configure(self, name: str, server: Document, args: Args) -> None:
        server["node"] |= {"cluster": args["cluster"], "label": args["label"]}
        self._state.put("server", name, server)

    def start(self, name: str, server: Document, args: Args) -> None:
        """The first node of a cluster to start leads it."""
        label, cluster = self._cluster_of(server)
        self._enable(name, server)
        cluster["members"][label] = name
        cluster["leader"] = cluster["leader"] or label
        self._save(server, cluster)

    def stop(self, name: str, server: Document, args: Args) -> None:
        server["node"]["service"] = False
        self._state.put("server", name, server)

    def join(self, name: str, server: Document, args: Args) -> Result:
        label, cluster = self._cluster_of(server)
        if not self._up(cluster, cluster["leader"]):
            raise ValueError("the cluster has no primary to copy from")
        self._enable(name, server)
        cluster["members"][label] = name
        self._save(server, cluster)
        return {"progress": [{"done": done, "total": 1024, "unit": "bytes"} for done in (512, 1024)]}

    def forget(self, name: str, server: Document, args: Args) -> None:
        _, cluster = self._cluster_of(server)
        if cluster["leader"] == args["label"]:
            raise ValueError(f"{args['label']} leads")
        cluster["members"].pop(args["label"], None)
        self._save(server, cluster)

    def observe(self, name: str, server: Document, args: Args) -> Result:
        _, cluster = self._cluster_of(server)
        self._elect(cluster)
        self._save(server, cluster)
        return {
            "leader": cluster["leader"],
            "timeline": cluster["timeline"],
            "members": [
                {"label": label, "address": self._address(server_name), "up": self._up(cluster, label)}
                for label, server_name in cluster["members"].items()
            ],
        }

    def release_leader(self, name: str, server: Document, args: Args) -> Result:
        """Ends the lease of ``dead``. One that still runs somewhere, unseen, makes two primaries: that is recorded."""
        _, cluster = self._cluster_of(server)
        if cluster["leader"] != args["dead"]:
            return {"released": False}
        leader = self._state.get("server", cluster["members"].get(args["dead"], ""))
        if leader and leader["alive"]:
            cluster["split_brains"] += 1
        cluster["leader_down_since"] = 0.0
        self._elect(cluster)
        self._save(server, cluster)
        return {"released": True}

    def switchover(self, name: str, server: Document, args: Args) -> None:
        _, cluster = self._cluster_of(server)
        if not self._up(cluster, args["to"]):
            raise ValueError(f"{args['to']} does not stream")
        self._lead(cluster, args["to"])
        self._save(server, cluster)

    def list_objects(self, name: str, server: Document, args: Args) -> Result:
        return {"objects": self._cluster_of(server)[1][args["kind"]]}

    def put_object(self, name: str, server: Document, args: Args) -> None:
        _, cluster = self._cluster_of(server)
        cluster[args["kind"]][args["name"]] = args["value"]
        self._save(server, cluster)

    def drop_object(self, name: str, server: Document, args: Args) -> None:
        _, cluster = self._cluster_of(server)
        cluster[args["kind"]].pop(args["name"], None)
        self._save(server, cluster)

    def _cluster_of(self, server: Document) -> tuple[str, Document]:
        node = server["node"]
        if "cluster" not in node:
            raise ValueError("the node is not configured")
        empty: Document = {
            "members": {}, "leader": None, "leader_down_since": None, "timeline": 1,
            "users": {}, "databases": {}, "backups": {}, "split_brains": 0,
        }  # fmt: skip
        return node["label"], self._state.get("cluster", node["cluster"]) or empty

    def _save(self, server: Document, cluster: Document) -> None:
        self._state.put("cluster", server["node"]["cluster"], cluster)

    def _enable(self, name: str, server: Document) -> None:
        server["node"]["service"] = True
        self._state.put("server", name, server)

    def _up(self, cluster: Document, label: str | None) -> bool:
        server = self._state.get("server", cluster["members"].get(label, ""))
        return bool(server and server["alive"] and not server["cut"] and server["node"].get("service"))

    def _address(self, server_name: str) -> str:
        return str((self._state.get("server", server_name) or {"private_ip": ""})["private_ip"])

    def _elect(self, cluster: Document) -> None:
        if self._up(cluster, cluster["leader"]):
            cluster["leader_down_since"] = None
            return
        if cluster["leader_down_since"] is None:
            cluster["leader_down_since"] = time.time()
        up = [label for label in cluster["members"] if self._up(cluster, label)]
        majority = 2 * len(up) > len(cluster["members"])
        if majority and time.time() >= cluster["leader_down_since"] + self._lease:
            self._lead(cluster, up[0])

    def _lead(self, cluster: Document, label: str) -> None:
        if cluster["leader"] != label:
            cluster["timeline"] += 1
        cluster["leader"], cluster["leader_down_since"] = label, None
