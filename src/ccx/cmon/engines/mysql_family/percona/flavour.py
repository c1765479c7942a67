"""What Percona Server's programs and units are called; MySQL's are called the same."""

from __future__ import annotations

from pathlib import PurePosixPath

from ccx.cmon.engines.mysql_family.layout import Flavour

PERCONA = Flavour(
    name="Percona Server",
    unit="ccx-percona.service",
    run=PurePosixPath("/run/ccx-percona"),
    server="/usr/sbin/mysqld",
    prepare="mysql_prepare.py",
    copy=(),
    section="mysqld",
    speech="mysql",
)
