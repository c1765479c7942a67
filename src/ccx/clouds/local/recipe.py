"""What goes into a node image: packages, files, and the script that trims it. A change here makes a new image."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

SUITE = "trixie"

_BASE = (
    "apt", "ca-certificates", "cloud-init", "dbus", "iproute2", "netbase", "openssh-server", "python3", "sudo",
    "systemd", "systemd-sysv", "tzdata",
)  # fmt: skip

# Debian's patroni is satisfied by another store's client; without python3-etcd and -dnspython it can't speak etcd.
_DATABASES = (
    "etcd-client", "etcd-server", "nftables", "patroni", "pgbackrest", "postgresql-17", "prometheus-node-exporter",
    "prometheus-postgres-exporter", "python3-dnspython", "python3-etcd",
)  # fmt: skip

_SERVICES_OFF = (
    "etcd", "nftables", "patroni", "pgbackrest", "postgresql", "prometheus-node-exporter",
    "prometheus-postgres-exporter",
)  # fmt: skip

_MARIADB = (
    "etcd-client", "etcd-server", "galera-4", "mariadb-backup", "mariadb-client", "mariadb-server", "nftables",
    "prometheus-node-exporter", "rclone", "zstd",
)  # fmt: skip

_MARIADBS_OFF = ("etcd", "mariadb", "nftables", "prometheus-node-exporter", "rsync")

# MySQL is in no release of Debian, only in the one that is being made: what else it needs comes from there as well.
_MYSQL = (
    "etcd-client", "etcd-server", "mysql-server", "nftables", "prometheus-node-exporter", "rclone", "zstd",
)  # fmt: skip
_UNRELEASED = "sid"

_MYSQLS_OFF = ("etcd", "mysql", "nftables", "percona-telemetry-agent", "prometheus-node-exporter")

# Units that cost boot time and have nothing to do in a machine whose disk, clock and kernel are the host's.
_MASKED = (
    "apt-daily-upgrade.timer", "apt-daily.timer", "console-getty.service", "dev-hugepages.mount", "dev-mqueue.mount",
    "dpkg-db-backup.timer", "e2scrub_all.timer",
    "e2scrub_reap.service", "fstrim.timer", "getty.target", "ldconfig.service", "modprobe@.service",
    "prometheus-node-exporter-apt.timer", "prometheus-node-exporter-ipmitool-sensor.timer",
    "prometheus-node-exporter-mellanox-hca-temp.timer", "prometheus-node-exporter-nvme.timer",
    "prometheus-node-exporter-smartmon.timer", "systemd-binfmt.service", "systemd-firstboot.service",
    "systemd-hwdb-update.service", "systemd-journal-catalog-update.service",
    "systemd-logind.service", "systemd-network-generator.service",
    "systemd-networkd-persistent-storage.service", "systemd-networkd-wait-online.service", "systemd-pcrphase.service",
    "systemd-pstore.service",
    "systemd-remount-fs.service", "systemd-timesyncd.service", "systemd-update-done.service",
    "systemd-update-utmp.service", "cloud-init-hotplugd.socket", "sshd-keygen.service",
)  # fmt: skip

# cloud-init with one data source to look at, in one place, and the modules that mean something in a machine container.
_CLOUD_CFG = """\
datasource_list: [NoCloud]
datasource: {NoCloud: {fs_label: null}}
disable_root: true
preserve_hostname: false
manage_etc_hosts: false
users: []
ssh_genkeytypes: [ed25519]
ssh_quiet_keygen: true
syslog_fix_perms: [root:adm, root:root]
system_info:
  distro: debian
  network: {renderers: [networkd]}
cloud_init_modules: [bootcmd, write_files, set_hostname, ca_certs, users_groups, ssh]
cloud_config_modules: [apt_configure, runcmd]
cloud_final_modules: [package_update_upgrade_install, write_files_deferred, scripts_user]
"""

_SCRIPT = """\
set -eu
root="$1"
chroot "$root" systemctl --quiet enable systemd-networkd.service ssh.service
chroot "$root" systemctl --quiet disable ssh.socket systemd-networkd-wait-online.service 2>/dev/null || true
for unit in {off}; do
    if [ -e "$root/usr/lib/systemd/system/$unit.service" ]; then
        chroot "$root" systemctl --quiet disable "$unit.service"
    fi
done
for unit in {masked}; do ln -sf /dev/null "$root/etc/systemd/system/$unit"; done
cat > "$root/etc/cloud/cloud.cfg" <<'CFG'
{cloud_cfg}CFG
find "$root/etc/cloud/cloud.cfg.d" -type f ! -name 05_logging.cfg -delete
mkdir -p "$root/etc/systemd/journald.conf.d"
printf '[Journal]\\nSystemMaxUse=64M\\n' > "$root/etc/systemd/journald.conf.d/ccx.conf"
mkdir -p "$root/etc/systemd/system/ssh.service.d"
printf '[Unit]\\nConditionPathExists=/etc/ssh/ssh_host_ed25519_key\\n' > \
"$root/etc/systemd/system/ssh.service.d/ccx.conf"
rm -f "$root"/etc/ssh/ssh_host_* "$root/var/lib/dbus/machine-id" "$root/etc/hostname" "$root/etc/resolv.conf"
rm -rf "$root"/var/lib/cloud/* "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/log/apt
rm -rf "$root"/var/log/*.log "$root"/var/lib/etcd/default "$root"/etc/systemd/network/*
: > "$root/etc/machine-id"
printf '127.0.0.1 localhost\\n' > "$root/etc/hosts"
mkdir -p "$root/var/lib/ccx-data"
"""

# Before any package is configured: no PostgreSQL cluster of Debian's own making.
_BEFORE_PACKAGES = (
    'mkdir -p "$1/etc/postgresql-common"'
    ' && printf "create_main_cluster = false\\n" > "$1/etc/postgresql-common/createcluster.conf"'
)

# Debian's packages make a server's data as they are set up: all nodes would have the same keys.
_NO_DATA = 'rm -rf "$root"/var/lib/mysql/*\n'

# An empty server's data, as `mariadb_fresh.py` of the agent makes them: without keys and passwords, the same for all.
# A node takes a copy where its server is still the one that made them.
_FIRST_DATA = """\
first=/usr/lib/ccx-first/mariadb
mkdir -p "$root/${first%/*}"
chroot "$root" mariadb-install-db --no-defaults --user=mysql --datadir="$first" --skip-test-db --skip-name-resolve \\
--auth-root-authentication-method=socket --auth-root-socket-user=mysql --skip-log-bin \\
--innodb-log-file-size=4M >/dev/null
chroot "$root" mariadbd --version > "$root/$first.version"
"""

_DROPPED_PATHS = (
    "/usr/share/man/*",
    "/usr/share/doc/*",
    "/usr/share/locale/*",
    "/usr/share/info/*",
    "/usr/share/lintian/*",
)


# Named, since it would not be looked for on an Ubuntu.
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


@dataclass(frozen=True)
class Recipe:
    """One image, described completely but for the state of the archive it is made from."""

    name: str
    packages: tuple[str, ...]
    before: str
    script: str
    suite: str = SUITE
    """Of the archive. One that is not released has no security updates, and may say that it is past its time."""

    @property
    def released(self) -> bool:
        return self.suite != _UNRELEASED

    def digest(self, release: str) -> str:
        """Names the image's content: this recipe, made from the archive as of ``release``."""
        text = json.dumps([self.suite, self.packages, self.before, self.script, _DROPPED_PATHS, release])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def command(self, target: str, sources: tuple[str, ...]) -> list[str]:
        """The mmdebstrap call that makes it in the folder ``target``."""
        return [
            "mmdebstrap", "--variant=minbase", "--mode=root", "--format=directory",
            f"--include={','.join(self.packages)}", f"--keyring={_KEYRING}",
            *(f"--dpkgopt=path-exclude={path}" for path in _DROPPED_PATHS),
            "--dpkgopt=force-unsafe-io",
            '--aptopt=Acquire::Retries "3"', '--aptopt=Acquire::http::Timeout "30"',
            *(() if self.released else ('--aptopt=Acquire::Check-Valid-Until "false"',)),
            f"--essential-hook={self.before}",
            f"--customize-hook={self.script}",
            self.suite, target, *sources,
        ]  # fmt: skip


def _script(off: tuple[str, ...], more: str = "") -> str:
    return _SCRIPT.format(off=" ".join(off) or '""', masked=" ".join(_MASKED), cloud_cfg=_CLOUD_CFG) + more


RECIPES = {
    "baked": Recipe("baked", tuple(sorted(_BASE + _DATABASES)), _BEFORE_PACKAGES, _script(_SERVICES_OFF)),
    "baked-mariadb": Recipe(
        "baked-mariadb", tuple(sorted(_BASE + _MARIADB)), "true", _script(_MARIADBS_OFF, _NO_DATA + _FIRST_DATA)
    ),
    "baked-mysql": Recipe(
        "baked-mysql", tuple(sorted(_BASE + _MYSQL)), "true", _script(_MYSQLS_OFF, _NO_DATA), _UNRELEASED
    ),
    "stock": Recipe("stock", _BASE, "true", _script(())),
}
"""``baked`` holds everything that a node of PostgreSQL needs, ``baked-mariadb`` one of MariaDB.

``baked-mysql`` holds MySQL in place of Percona Server, for tests: see ``docs/operate/percona.md``.

``stock`` holds only what boots and configures a machine.
"""
