"""A backup on a replica: which one, and what pgBackRest is told on both sides."""

from __future__ import annotations

import configparser

import pytest
from tests.unit.test_cmon_backup import cluster, repository

from ccx.cmon.backup import standby
from ccx.cmon.node_file import NodeFile
from ccx.cmon.spec import ClusterView, MemberView, Role

MIB = 2**20


def replica(label: str, lag: int | None = 0, *, healthy: bool = True, synchronous: bool = False) -> MemberView:
    return MemberView(label, Role.REPLICA, "streaming", "192.0.2.1", healthy, synchronous, lag)


def view(*replicas: MemberView, silent: tuple[str, ...] = ()) -> ClusterView:
    primary = MemberView("n1g1", Role.PRIMARY, "running", "192.0.2.1", healthy=True)
    return ClusterView((primary, *replicas), "n1g1", silent)


@pytest.mark.parametrize(
    ("found", "chosen"),
    [
        (view(), None),
        (view(replica("n2g1")), "n2g1"),
        (view(replica("n2g1", healthy=False)), None),
        (view(replica("n2g1", None)), None),
        (view(replica("n2g1", 17 * MIB)), None),
        (view(replica("n2g1"), silent=("n2g1",)), None),
        (view(replica("n2g1", 2 * MIB), replica("n3g1", MIB)), "n3g1"),
        (view(replica("n2g1", synchronous=True), replica("n3g1", MIB)), "n3g1"),
        (view(replica("n2g1", synchronous=True), replica("n3g1", 17 * MIB)), "n2g1"),
    ],
    ids=[
        "there is none", "it is good", "it does not stream", "nobody knows how far it is", "it is far behind",
        "it does not answer", "the one least behind", "the one that no commit waits for", "but not if it is far behind",
    ],
)  # fmt: skip
def test_the_replica_is_chosen_by_its_state_and_its_lag(found: ClusterView, chosen: str | None) -> None:
    assert standby.choose(found) == chosen


def read(file: NodeFile) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.read_string(file.content)
    return parsed


def test_the_replica_reaches_the_primary_by_its_name_with_the_datastores_certificates() -> None:
    made = cluster("n1g1", "n2g1")
    [file] = standby.replica_files(made, repository(), made.node("n1g1"))
    assert (file.mode, file.owner) == ("0600", "postgres")
    assert read(file)["global"]["backup-standby"] == "y"
    own = read(file)[made.archive_name]
    assert (own["pg2-host"], own["pg2-host-port"]) == (made.node("n1g1").hostname, "8432")
    assert own["pg2-host-ca-file"] == "/etc/ccx/postgres/ca.crt"
    assert "pg1-host" not in own


def test_the_primary_serves_that_replica_and_knows_no_key_of_the_store() -> None:
    made = cluster("n1g1", "n2g1")
    [file] = standby.primary_files(made, made.node("n1g1"), made.node("n2g1"))
    served = read(file)["global"]
    assert served["tls-server-auth"] == f"{made.node('n2g1').hostname}={made.archive_name}"
    assert served["tls-server-address"] == made.node("n1g1").address
    assert not [name for name in served if name.startswith("repo1-")]
