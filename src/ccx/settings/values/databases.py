"""``ccx.config.databases``: the vendors on offer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ccx.settings.model import Database, TypeOfCluster
from ccx.settings.values.findings import Findings
from ccx.settings.values.known import check_entry
from ccx.settings.values.tree import Tree, entries, whole

_KEYS = {"code", "name", "versions", "enabled", "num_nodes", "ports", "types", "beta", "info", "logo", "parameters"}
# The charts list them; nobody knows where nodes would get their packages.
_WITHOUT_PACKAGES = ("valkey", "microsoft")
_NAMES = {"mariadb": "MariaDB", "percona": "Percona Server", "postgres": "PostgreSQL"}
_TYPES = {
    "mariadb": (("galera", "Multi-Master"), ("replication", "Master / Replicas")),
    "percona": (("galera", "Multi-Master"), ("replication", "Master / Replicas")),
    "postgres": (("postgres_streaming", "Streaming Replication"),),
}
_DEFAULTS = {"mariadb": ("10.11", "11.4", "11.8"), "percona": ("8.0", "8.4"), "postgres": ("15", "16", "17")}
_PERCONA = ("8.0", "8.4")


def databases(tree: Tree, findings: Findings) -> tuple[Database, ...]:
    """The vendors on offer; the charts' defaults, of those that there are packages for, where none are listed."""
    where = tree.where("ccx.config.databases")
    if not tree.has("ccx.config.databases"):
        findings.warn(where, "no databases are listed, so the charts' defaults count, but valkey and microsoft, which "
                      "have no package repository", "List them with their versions")  # fmt: skip
        return tuple(_database(code, versions, {}) for code, versions in _DEFAULTS.items())
    found: dict[str, Database] = {}
    for index, entry in enumerate(tree.list("ccx.config.databases")):
        field = f"{where}.{index}"
        if not isinstance(entry, dict):
            findings.refuse(field, "a database must be a mapping", "Write its code and versions")
            continue
        check_entry(entry, _KEYS, field, findings)
        code = str(entry.get("code") or "")
        if code.startswith(_WITHOUT_PACKAGES):
            if entry.get("enabled", True):
                findings.warn(f"{field}.code", f"{code} is left out: no package repository of its is known",
                              "Set enabled: false")  # fmt: skip
        elif code not in _NAMES:
            findings.refuse(f"{field}.code", f"there is no database {code!r}", f"Databases are: {', '.join(_NAMES)}")
        elif code in found:
            findings.refuse(f"{field}.code", f"{code} is listed twice", "List it once, with all its versions")
        else:
            found[code] = _database(code, _versions(code, entry, f"{field}.versions", findings), entry, field)
    return tuple(found.values())


def _versions(code: str, entry: Mapping[str, Any], field: str, findings: Findings) -> tuple[str, ...]:
    listed = entry.get("versions")
    if not listed:
        return _DEFAULTS[code]
    if not isinstance(listed, list):
        findings.refuse(field, "versions are a list", f'Write ["{_DEFAULTS[code][-1]}"]')
        return _DEFAULTS[code]
    versions: dict[str, None] = {}
    for index, version in enumerate(map(str, listed)):
        if code == "percona" and version not in _PERCONA:
            findings.refuse(f"{field}.{index}", f"Percona's version {version!r} names no series: each has repositories "
                            "of its own", "Write \"8.0\" or \"8.4\", in quotes")  # fmt: skip
            versions.update(dict.fromkeys(_PERCONA))
        else:
            versions[version] = None
    return tuple(versions)


def _database(code: str, versions: tuple[str, ...], entry: Mapping[str, Any], where: str = "") -> Database:
    listed = entries(entry.get("types"), f"{where}.types")
    kinds = [(str(t.get("code")), str(t.get("name"))) for t in listed if isinstance(t, dict)]
    sizes = entries(entry.get("num_nodes"), f"{where}.num_nodes") or (1, 2, 3)
    return Database(
        code=code, name=str(entry.get("name") or _NAMES[code]), versions=versions,
        num_nodes=tuple(whole(size, f"{where}.num_nodes.{index}") for index, size in enumerate(sizes)),
        types=tuple(TypeOfCluster(code=c, name=n) for c, n in kinds or _TYPES[code]),
        enabled=entry.get("enabled") is not False,
    )  # fmt: skip
