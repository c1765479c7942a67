"""What ``script/try-host`` does: a fresh Debian or Ubuntu, booted by systemd on this machine, and a command in it."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ccx.clouds.local import cgroups
from ccx.clouds.local.processes import find_init
from ccx.clouds.local.shell import SEARCH_PATH

_ROOT = Path(__file__).resolve().parent.parent
_BOOTS_WITHIN_S = 60
_LOOP_DEVICES = 64
_GROUPS = "try-hosts"
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_FORWARDED_BY_US = Path("/run/ccx-try-forwarding")
"""There while it is on because of us; gone, as the setting is, after a reboot."""
_DEBIAN, _UBUNTU = "http://deb.debian.org/debian", "http://archive.ubuntu.com/ubuntu"
_UBUNTU_KEYS = "/usr/share/keyrings/ubuntu-archive-keyring.gpg"

# What a person's fresh server has, and what the README asks for: git and Python.
_PACKAGES = "dbus,git,python3,ca-certificates"

# As for the local cloud's nodes: mounts that end with the machine, and control groups of version 2 only.
_MOUNT = """\
if [ "$1" = no ]; then umount -R /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup; fi
shift; exec "$@"
"""


class Failed(Exception):
    """Said to the person in one line."""


@dataclass(frozen=True)
class Host:
    """One throw-away machine. ``number`` makes its network, 10.223.<number>.0/30, its own."""

    suite: str
    number: int
    archive: str
    components: str
    extra: str = ""

    @property
    def home(self) -> Path:
        return Path("/var/tmp") / f"ccx-try-{self.suite}"  # noqa: S108 - root's, and disk rather than memory

    @property
    def root(self) -> Path:
        return self.home / "root"

    @property
    def name(self) -> str:
        return f"try-{self.suite}"

    @property
    def group(self) -> cgroups.Group:
        return cgroups.Group(_GROUPS, self.suite)

    def address(self, last: int) -> str:
        return f"10.223.{self.number}.{last}"

    def sources(self) -> list[str]:
        security = f"{self.archive}-security" if self.archive == _DEBIAN else self.archive
        return [
            f"deb {self.archive} {self.suite} {self.components}",
            f"deb {self.archive} {self.suite}-updates {self.components}",
            f"deb {security} {self.suite}-security {self.components}",
        ]


HOSTS = {
    "bookworm": Host("bookworm", 12, _DEBIAN, "main"),
    "trixie": Host("trixie", 13, _DEBIAN, "main"),
    "noble": Host("noble", 24, _UBUNTU, "main universe", extra=",systemd-resolved"),
}


def make(host: Host) -> None:
    """The root file system, with a clone of what is committed, and the ways to packages that this machine has."""
    if not (host.home / "made").exists():
        shutil.rmtree(host.home, ignore_errors=True)
        host.home.mkdir(mode=0o700)
        keys = [f"--keyring={os.environ.get('CCX_UBUNTU_KEYS', _UBUNTU_KEYS)}"] if host.archive == _UBUNTU else []
        print(f"==> {host.suite}: making {host.root} from {host.archive}", flush=True)
        _run("mmdebstrap", "--quiet", *keys, f"--include={_PACKAGES}{host.extra}", host.suite, str(host.root),
             *host.sources())  # fmt: skip
        host.root.chmod(0o755)
        (host.root / "etc/hostname").write_text(f"{host.name}\n")
        _trust(host)
        (host.home / "made").touch()
    clone = host.root / "root/ccx"
    if clone.exists():
        _run("git", "-C", str(clone), "pull", "--quiet", "--ff-only")
    else:
        _run("git", "clone", "--quiet", "--no-hardlinks", str(_ROOT), str(clone))


def _trust(host: Host) -> None:
    """The certificate authorities and the package index that this machine was told of."""
    own = Path("/usr/local/share/ca-certificates")
    shutil.copytree(own, host.root / "usr/local/share/ca-certificates", dirs_exist_ok=True)
    _run("chroot", str(host.root), "update-ca-certificates")
    with suppress(FileNotFoundError):
        shutil.copy("/etc/pip.conf", host.root / "etc/pip.conf")


def boot(host: Host) -> int:
    """Its init's process id. A machine that runs is left running."""
    if init := find_init(host.group.processes()):
        return init
    _network(host)
    _resolver(host)
    command = [
        *host.group.launcher(0, 0),
        "unshare", "--mount", "--propagation", "slave", "--",
        "sh", "-euc", _MOUNT, "try-host", "yes" if cgroups.is_unified() else "no",
        "systemd-nspawn", "--quiet", "--boot", "--settings=no", "--register=no", "--keep-unit",
        f"--machine={host.name}", f"--directory={host.root}", f"--network-namespace-path=/run/netns/{host.name}",
        "--capability=all", "--system-call-filter=@known", "--bind=/dev/loop-control",
        "--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=read-only",
    ]  # fmt: skip
    with (host.home / "console.log").open("ab") as console:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True, cwd="/",
            # /proc/sys and /sys can be written to, as on a machine.
            env={"PATH": SEARCH_PATH, "LANG": "C.UTF-8", "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "1"},
        )  # fmt: skip
    print(f"==> {host.suite}: booting; its console is {host.home / 'console.log'}", flush=True)
    deadline = time.monotonic() + _BOOTS_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        init = find_init(host.group.processes())
        if init and _inside(
            init, "systemctl is-system-running --quiet --wait || true; test -S /run/dbus/system_bus_socket"
        ):
            # Real disks' nodes appear by themselves; a container's /dev has none.
            _inside(init, f"for n in $(seq 0 {_LOOP_DEVICES - 1}); do mknod -m 660 /dev/loop$n b 7 $n; done")
            return init
        time.sleep(0.2)
    raise Failed(f"{host.suite} did not boot; see the end of {host.home / 'console.log'}")


def _network(host: Host) -> None:
    """A link of its own, and this machine's address for what it sends further."""
    _unlink(host)
    own, peer = host.address(1), host.address(2)
    _run("ip", "netns", "add", host.name)
    _run("ip", "link", "add", host.name, "type", "veth", "peer", "name", "eth0", "netns", host.name)
    _run("ip", "addr", "add", f"{own}/30", "dev", host.name)
    _run("ip", "link", "set", host.name, "up")
    for words in ("link set lo up", f"addr add {peer}/30 dev eth0", "link set eth0 up", f"route add default via {own}"):
        _run("ip", "-n", host.name, *words.split())
    table = f"ccx_try_{host.suite}"
    rules = f"""\
table ip {table} {{
  chain source {{ type nat hook postrouting priority srcnat; ip saddr {peer} oifname != "{host.name}" masquerade; }}
  chain forward {{
    type filter hook forward priority filter;
    oifname "{host.name}" ct state established,related accept
    oifname "{host.name}" drop
  }}
}}
"""
    _run("nft", "-f", "-", stdin=rules)
    if _FORWARDING.read_text().strip() == "0":
        _FORWARDED_BY_US.touch()
        _FORWARDING.write_text("1")


def _unlink(host: Host) -> None:
    for words in (
        ["nft", "delete", "table", "ip", f"ccx_try_{host.suite}"],
        ["ip", "link", "delete", host.name],
        ["ip", "netns", "delete", host.name],
    ):
        subprocess.run(words, check=False, capture_output=True)


def _resolver(host: Host) -> None:
    """The resolvers of this machine; through systemd-resolved, where the system has that."""
    servers = [
        line.split()[1] for line in Path("/etc/resolv.conf").read_text().splitlines() if line.startswith("names")
    ]
    if (host.root / "usr/lib/systemd/systemd-resolved").exists():
        folder = host.root / "etc/systemd/resolved.conf.d"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "try-host.conf").write_text(f"[Resolve]\nDNS={' '.join(servers)}\nDNSSEC=no\n")
        (link := host.root / "etc/resolv.conf").unlink(missing_ok=True)
        link.symlink_to("../run/systemd/resolve/stub-resolv.conf")
    else:
        (host.root / "etc/resolv.conf").write_text("".join(f"nameserver {server}\n" for server in servers))


def run(init: int, command: str) -> int:
    """``command`` as somebody who logged in would run it: what it leaves running in the background goes on."""
    return _inside(
        init,
        "exec systemd-run --quiet --wait --pipe --collect --property=KillMode=process --property=TasksMax=infinity "
        '--setenv=HOME=/root --setenv=TERM=dumb --working-directory=/root/ccx sh -c "$1"',
        command,
        quiet=False,
    )


def _inside(init: int, script: str, *arguments: str, quiet: bool = True) -> int | bool:
    result = subprocess.run(
        ["nsenter", f"--target={init}", "--all", "--", "env", "-i", f"PATH={SEARCH_PATH}", "LANG=C.UTF-8",
         "sh", "-c", script, "try-host", *arguments],
        check=False, stdin=subprocess.DEVNULL, capture_output=quiet,
    )  # fmt: skip
    return result.returncode == 0 if quiet else result.returncode


def down(host: Host) -> None:
    """Removes all of it. Succeeds where there is nothing."""
    host.group.kill()
    if not asyncio.run(host.group.emptied(20)):
        raise Failed(f"processes below {host.group.path} don't end")
    host.group.remove()
    _unlink(host)
    shutil.rmtree(host.home, ignore_errors=True)
    if not any(other.home.exists() for other in HOSTS.values()):
        cgroups.remove_instance(_GROUPS)
        if _FORWARDED_BY_US.exists():
            _FORWARDING.write_text("0")
            _FORWARDED_BY_US.unlink()


def _run(*words: str, stdin: str | None = None) -> None:
    result = subprocess.run(words, check=False, input=stdin, text=True, capture_output=True)
    if result.returncode:
        raise Failed(f"{' '.join(words)}: {result.stderr.strip() or result.returncode}")


def main(arguments: list[str]) -> int:
    host = HOSTS.get(arguments[0]) if arguments else None
    if host is None:
        print(f"usage: script/try-host {'|'.join(HOSTS)} [COMMAND | --down]", file=sys.stderr)
        return 2
    try:
        if arguments[1:] == ["--down"]:
            down(host)
            return 0
        make(host)
        return run(boot(host), " ".join(arguments[1:]) or "script/demo")
    except Failed as error:
        print(f"script/try-host: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
