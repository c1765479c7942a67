"""Somebody's program that uses MySQL, or Percona Server."""

from __future__ import annotations

from tests.e2e.mariadb_application import MariaDbApplication


class MySqlApplication(MariaDbApplication):
    """The same library does: it knows how both of them have passwords told, over TLS."""

    vendor = "percona"
    settings = ('databases=[postgres, {code: percona, name: MySQL, versions: ["8.4", "9.7"]}]',)
    image = "baked-mysql"
    rows = frozenset({
        "cmon.ssh", "percona.keeper", "percona.etcd", "node.control-plane", "node.dns-udp", "percona.peers.etcd",
        "percona.peers.replication",
    })  # fmt: skip
    server = "/usr/sbin/mysqld"
    server_pid = "cat /run/ccx-percona/mysqld.pid"
    forbidden = (
        "set global read_only = off", "set global super_read_only = off", "create user intruder",
        "select * from mysql.user", "shutdown", "grant all on goods.* to ccxadmin",
        "set global rpl_semi_sync_source_enabled = off",
    )  # fmt: skip
    forbidden_to_the_first = (
        "set global read_only = off", "set global super_read_only = on", "shutdown", "set session sql_log_bin = 0",
        "create user intruder", "grant all on *.* to ccxadmin", "update mysql.user set max_connections = 1",
        "flush tables", "set global rpl_semi_sync_source_enabled = off", "reset binary logs and gtids",
        "clone local data directory = '/tmp/stolen'", "install component 'file://component_validate_password'",
    )  # fmt: skip
