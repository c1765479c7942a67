"""The systemd units. Debian's own are not used: they know nothing of the volume, of our files and of the order."""

from __future__ import annotations

from ccx.cmon.engines.postgres.layout import CONFIGURATION, PATRONI_UNIT
from ccx.cmon.etcd.files import UNIT_TEXT
from ccx.cmon.etcd.layout import DATA, ETCD_UNIT

_LAUNCHER = "/usr/lib/ccx-agent/ccx_agent/patroni.py"
"""Waits for etcd, with Patroni loaded already."""

# Patroni stops PostgreSQL itself when it is stopped, and finds it again when it was killed alone.
_PATRONI = f"""[Unit]
Description=CCX: Patroni, which runs PostgreSQL
After=network.target {ETCD_UNIT}
RequiresMountsFor={DATA}
StartLimitIntervalSec=0

[Service]
Type=exec
User=postgres
SyslogIdentifier=patroni
RuntimeDirectory=ccx-patroni
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
ExecStart=/usr/bin/python3 -I {_LAUNCHER} {CONFIGURATION}/etcd-ready.json {CONFIGURATION}/patroni.yml
ExecReload=/bin/kill -s HUP $MAINPID
KillMode=process
KillSignal=SIGINT
Restart=always
RestartSec=1
TimeoutStartSec=120
TimeoutStopSec=60
OOMScoreAdjust=-600
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
"""

UNITS = {ETCD_UNIT: UNIT_TEXT, PATRONI_UNIT: _PATRONI}
