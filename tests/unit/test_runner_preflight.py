"""What a new node is asked to try before anything is installed on it: what it will use, and nothing else."""

from __future__ import annotations

from tests.unit.test_network_mirror import BAKED, LOCAL, MIRRORED

from ccx.runner.steps.preflight import needed
from ccx.settings import Settings

PROXIED = {"egress_proxy": "http://10.9.8.7:3128"}
OUTSIDE = {"s3_endpoint": "https://s3.example"}


def tried(settings: Settings) -> set[str]:
    return {target.row.id for target in needed(settings, "local", "postgres", "17")}


def with_a_store_outside(settings: Settings) -> Settings:
    return settings.model_copy(update={"clouds": tuple(c.model_copy(update=OUTSIDE) for c in settings.clouds)})


def test_a_node_with_everything_inside_tries_no_repository() -> None:
    assert tried(BAKED) == {"node.dns-udp"}
    assert tried(LOCAL) == tried(BAKED) | {
        "packages.postgresql", "packages.key-postgresql", "packages.debian", "packages.debian-security"
    }  # fmt: skip


def test_the_proxy_is_tried_where_packages_come_by_it() -> None:
    assert tried(LOCAL.model_copy(update=PROXIED)) == tried(LOCAL) | {"egress.proxy.data"}


def test_a_proxy_that_nodes_have_no_use_for_fails_no_creation() -> None:
    assert tried(BAKED.model_copy(update=PROXIED)) == tried(BAKED)
    assert tried(MIRRORED.model_copy(update=PROXIED)) == tried(MIRRORED)


def test_a_proxy_that_only_backups_go_by_fails_no_creation() -> None:
    store = with_a_store_outside(BAKED.model_copy(update=PROXIED))
    assert tried(store) == tried(BAKED) | {"backup.s3.data"}
