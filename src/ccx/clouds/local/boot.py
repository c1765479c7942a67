"""How a machine is started: its folders and cloud-init seed, and the command that boots it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from ccx.clouds.local import cgroups
from ccx.clouds.local.network import NODE_LINK
from ccx.clouds.local.shell import NAMESPACES

DATA = "/var/lib/ccx-data"
"""Where a machine finds its volume."""

# In a mount namespace of the machine's own, so that its mounts and loop device end with it, however it ends. A slave of
# the host's: the network namespaces that other machines leave behind can go. The volume goes past the host's page
# cache, where its file system can do that: through it the kernel does one request at a time, and a commit waits for all
# that a backup reads. Where the host's control groups are not purely version 2, the machine is shown a tree that is.
_MOUNT = """\
image=$1 home=$2 volume=$3 unified=$4; shift 4
mount -t overlay overlay -o "lowerdir=$image,upperdir=$home/upper,workdir=$home/work" "$home/root"
if [ -n "$volume" ]; then
    mount -o loop,noatime "$volume" "$home/volume"
    losetup --direct-io=on "$(losetup --noheadings --output NAME --associated "$volume")" 2>/dev/null || true
fi
if [ "$unified" = no ]; then umount -R /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup; fi
exec "$@"
"""


@dataclass(frozen=True)
class Blueprint:
    """Everything that booting a machine takes."""

    name: str
    hostname: str
    address: IPv4Address
    router: IPv4Address
    prefix: int
    namespace: str
    image: Path
    volume: Path | None
    home: Path
    user_data: str
    cpu: int
    ram: int

    @property
    def console(self) -> Path:
        return self.home / "console.log"


def prepare(plan: Blueprint) -> None:
    """Makes the machine's folders and tells it who it is. Does nothing for one that was prepared to the end."""
    done = plan.home / "prepared"
    if done.exists():
        return
    for folder in ("upper", "work", "root", "volume"):
        (plan.home / folder).mkdir(parents=True, exist_ok=True)
    os.chmod(plan.home, 0o700)
    os.chmod(plan.home / "upper", 0o755)  # noqa: S103 - it becomes the machine's root folder
    seed = plan.home / "upper/var/lib/cloud/seed/nocloud"
    seed.mkdir(parents=True, exist_ok=True)
    _write(seed / "meta-data", json.dumps({"instance-id": plan.name, "local-hostname": plan.hostname}))
    _write(seed / "user-data", plan.user_data)
    _write(seed / "network-config", json.dumps(network_config(plan)))
    etc = plan.home / "upper/etc"
    etc.mkdir(exist_ok=True)
    (etc / "hostname").write_text(f"{plan.hostname.partition('.')[0]}\n")
    (etc / "resolv.conf").write_text(f"nameserver {plan.router}\noptions timeout:1 attempts:3\n")
    done.touch()


def network_config(plan: Blueprint) -> dict[str, object]:
    """cloud-init's version 2. ``to: default`` and ``on-link`` are refused, or dropped, when it renders for networkd."""
    return {
        "version": 2,
        "ethernets": {
            NODE_LINK: {
                "addresses": [f"{plan.address}/{plan.prefix}"],
                "routes": [{"to": "0.0.0.0/0", "via": str(plan.router)}],
                "nameservers": {"addresses": [str(plan.router)]},
                "link-local": [],
            }
        },
    }


def command(plan: Blueprint, group: cgroups.Group) -> list[str]:
    """Boots the prepared machine; its init outlives whoever runs this."""
    return [
        *group.launcher(plan.cpu, plan.ram << 30),
        "unshare", "--mount", "--propagation", "slave", "--",
        "sh", "-euc", _MOUNT, "ccx-machine",
        str(plan.image), str(plan.home), str(plan.volume or ""), "yes" if cgroups.is_unified() else "no",
        "systemd-nspawn", "--quiet", "--boot", "--settings=no", "--register=no", "--keep-unit",
        f"--machine={plan.name}", f"--directory={plan.home / 'root'}",
        f"--network-namespace-path={NAMESPACES / plan.namespace}",
        f"--bind={plan.home / 'volume'}:{DATA}",
        # The machine sets its own address; it can't reach the host's devices.
        "--capability=CAP_NET_ADMIN", "--drop-capability=CAP_MKNOD",
        "--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=read-only",
    ]  # fmt: skip


def _write(file: Path, text: str) -> None:
    """Readable by the machine's root alone: user data holds a token."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as target:
        target.write(text)
