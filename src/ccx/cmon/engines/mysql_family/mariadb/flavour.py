"""What MariaDB's programs and units are called."""

from __future__ import annotations

from pathlib import PurePosixPath

from ccx.cmon.engines.mysql_family.layout import Flavour

_RUN = PurePosixPath("/run/ccx-mariadb")

MARIADB = Flavour(
    name="MariaDB",
    unit="ccx-mariadb.service",
    run=_RUN,
    server="/usr/sbin/mariadbd",
    prepare="mariadb_prepare.py",
    copy=(
        "mariadb-backup", "--backup", "--stream=xbstream", "--user=mysql", f"--socket={_RUN}/mysqld.sock",
        "--target-dir=/tmp/ccx-copy",
    ),
    section="mariadbd",
)  # fmt: skip
