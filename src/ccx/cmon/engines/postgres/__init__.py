"""PostgreSQL: Patroni and etcd on the data nodes, mutual TLS on every port of both."""

from ccx.cmon.engines.postgres.engine import PostgresEngine

__all__ = ["PostgresEngine"]
