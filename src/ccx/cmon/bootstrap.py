"""What a new node is told: cloud-init user data that makes it phone home.

It holds no secret but one token that expires. Everything else in it is public.
"""

from __future__ import annotations

import json
from typing import Any

import yaml

from ccx.cmon.egress import OBSERVED_BY
from ccx.cmon.sources import node_side
from ccx.network import observer

_SCRIPT = "/etc/ccx/enrol.py"
_CONFIG = "/etc/ccx/enrol.json"

# Before the first connection, so that the kernel sees all of them. A stock image has no nft yet.
_OBSERVE = f"command -v nft >/dev/null && nft -f {OBSERVED_BY} || true"

# Started beside the boot, not within it: what follows in cloud-init need not wait for it, nor it for that.
_START = (
    "test -e /var/lib/ccx-agent/enrolled || systemd-run --no-block --collect --unit=ccx-enrol "
    f"-p DefaultDependencies=no -p StandardOutput=journal python3 -I {_SCRIPT} {_CONFIG}"
)


def user_data(
    *,
    hostname: str,
    control_url: str,
    token: str,
    installation_ca: str,
    apt_key: str,
    authorized_key: str,
    patience: float = 900,
) -> str:
    """The cloud-config of a node.

    ``control_url`` is where it phones home (``https://host``, checked against ``installation_ca``); it trades ``token``
    there for its SSH host key, and installs the agent from the repository below ``/apt/`` that ``apt_key`` signs.
    ``authorized_key`` is the control plane's SSH public key, which the agent's account is opened to. It tries for
    ``patience`` seconds: as long as its token is good, for the control plane may be away meanwhile.
    """
    told = {
        "control_url": control_url.rstrip("/"),
        "token": token,
        "ca": installation_ca,
        "apt_key": apt_key,
        "authorized_key": authorized_key,
        "patience": patience,
    }
    config: dict[str, Any] = {
        "fqdn": hostname,
        "hostname": hostname.split(".", 1)[0],
        "prefer_fqdn_over_hostname": False,
        "manage_etc_hosts": "localhost",
        "locale": "C.UTF-8",
        "ssh_genkeytypes": ["ed25519"],
        "ssh_deletekeys": False,
        "ssh_quiet_keygen": True,
        "ssh_pwauth": False,
        "disable_root": True,
        "users": [],
        "package_update": False,
        "package_upgrade": False,
        "package_reboot_if_required": False,
        "apt": {"preserve_sources_list": True},
        # Files first, so that the boot command finds them; and of the rest only what a node needs.
        "cloud_init_modules": ["write_files", "bootcmd", "growpart", "resizefs", "set_hostname", "update_etc_hosts"],
        "cloud_config_modules": [],
        "cloud_final_modules": [],
        "write_files": [
            {"path": _CONFIG, "permissions": "0600", "content": json.dumps(told)},
            {"path": _SCRIPT, "permissions": "0755", "content": (node_side() / "ccx_enrol.py").read_text()},
            {"path": OBSERVED_BY, "permissions": "0644", "content": observer.rules(units=True)},
        ],
        "bootcmd": [_OBSERVE, _START],
    }
    return "#cloud-config\n" + yaml.safe_dump(config, sort_keys=False, width=1000)
