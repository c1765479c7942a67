"""The systemd units. Debian's own are not used: they know nothing of the volume, of our files and of the order."""

from __future__ import annotations

from ccx.cmon.engines.mysql_family.layout import CONFIGURATION, USER, Flavour
from ccx.cmon.etcd.layout import DATA, ETCD_UNIT

_AGENT = "/usr/lib/ccx-agent/ccx_agent"

# Its data may have to be copied first, for as long as that takes. Ended by its keeper, it is back in a moment. It waits
# for no etcd: it starts read-only, and follows nobody until its keeper knows whom.
_SERVER = """[Unit]
Description=CCX: {name}
After=network.target
RequiresMountsFor={data}
StartLimitIntervalSec=0

[Service]
Type=notify
User={user}
RuntimeDirectory={run}
RuntimeDirectoryMode=0750
RuntimeDirectoryPreserve=yes
UMask=0077
{start}
Restart=always
RestartSec=500ms
TimeoutStartSec=infinity
TimeoutStopSec=120
OOMScoreAdjust=-600
LimitNOFILE=65536
PrivateTmp=yes
NoNewPrivileges=yes

[Install]
WantedBy=multi-user.target
"""

_KEEPER = """[Unit]
Description=CCX: keeper, which says whether {name} here is the primary
After=network.target {etcd}
StartLimitIntervalSec=0

[Service]
Type=exec
User={user}
SyslogIdentifier=keeper
RuntimeDirectory={run}
RuntimeDirectoryMode=0750
RuntimeDirectoryPreserve=yes
ExecStart=/usr/bin/python3 -I {agent}/{keeper} {configuration}/keeper.json
ExecReload=/bin/kill -s HUP $MAINPID
Restart=always
RestartSec=500ms
OOMScoreAdjust=-600
LimitNOFILE=65536
PrivateTmp=yes
NoNewPrivileges=yes

[Install]
WantedBy=multi-user.target
"""


_SCRIPT = "/usr/bin/python3 -I {agent}/{script} {configuration}/keeper.json"


def server_unit(flavour: Flavour) -> str:
    """A script makes its data or copies them, and then it starts."""
    prepare = _SCRIPT.format(script=flavour.prepare, **_common(flavour))
    start = f"ExecStartPre={prepare}\nExecStart={flavour.server} --defaults-file={CONFIGURATION}/my.cnf"
    return _SERVER.format(start=start, **_common(flavour))


def started_by_script(flavour: Flavour, script: str) -> str:
    """The script becomes the server, when it knows with which arguments."""
    start = f"ExecStart={_SCRIPT.format(script=script, **_common(flavour))}"
    return _SERVER.format(start=start, **_common(flavour))


def keeper_unit(flavour: Flavour, keeper: str = "keeper.py", *, etcd: bool = True) -> str:
    return _KEEPER.format(keeper=keeper, **_common(flavour) | ({} if etcd else {"etcd": ""}))


def _common(flavour: Flavour) -> dict[str, object]:
    return {
        "name": flavour.name, "etcd": ETCD_UNIT, "data": DATA, "user": USER, "run": flavour.run.name, "agent": _AGENT,
        "configuration": CONFIGURATION,
    }  # fmt: skip
