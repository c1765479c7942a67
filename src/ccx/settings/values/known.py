"""The keys that the charts know, so that a misspelt one is found before it is silently ignored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from ccx.settings.values.findings import Findings
from ccx.settings.values.tree import Tree

_CCX = {"autoscaling", "ccFQDN", "ccx", "ccxFQDN", "cmon", "crossOrigins", "fluentbit", "global", "loki",
        "prometheusHostname", "storageClassName"}  # fmt: skip
_CCXDEPS = {
    "ccx-monitoring", "cert-manager", "createDatabases", "email", "external-dns", "ingress-nginx", "ingressController",
    "installOperators", "keycloak", "loki", "mysql-innodbcluster", "nats", "oracle-mysql-operator", "postgres-operator",
    "postgresql",
}  # fmt: skip
_CLUSTERCONTROL = {"cc", "devBuild", "fqdn", "installMysqlOperator", "monitoring", "mysql-operator"}
_SERVICES = {
    "admin", "auth", "backupstorage", "billing", "billingupdater", "cmonproxy", "controllerstorage", "datastorestorage",
    "deployer", "hook", "jobstorage", "migrate", "monitor", "notification", "notify_worker", "rest_service", "runner",
    "runnernotifications", "state_worker", "storesMigrate", "stores_listener", "stores_migrate", "stores_service",
    "uiadmin", "uiapp", "uiauth", "user",
}  # fmt: skip
_CLOSED: dict[str, set[str]] = {
    "": _CCX | _CCXDEPS | _CLUSTERCONTROL,
    "ccx": {
        "admin", "affiliation", "autoRepair", "backend", "cidr", "cloudSecrets", "config", "createRBAC", "db",
        "egressProxy", "emailFeedback", "emailSupport", "env", "ingress", "keycloak", "migrateStores", "mirror", "nats",
        "perconaTelemetry", "preferNewStores", "services", "userDomain",
    },
    "ccx.services": _SERVICES,
    "ccx.mirror": {"charts", "key", "packages"},
    "ccx.services.billing": {"enabled", "env", "image", "resources", "stripe"},
}  # fmt: skip
_ENVIRONMENT = {
    "ENABLE_EMAIL", "ENABLE_SLACK", "ENABLE_PAGERDUTY", "SLACK_URL", "SLACK_CHANNEL", "PAGERDUTY_KEY", "PAGERDUTY_URL",
    "SMTP_HOST", "SMTP_PORT", "SMTP_USERNAME", "SMTP_PASSWORD", "STRIPE_SECRET_KEY", "REACT_APP_PIWIK_PRO_ID",
    "REACT_APP_PIWIK_PRO_URL", "S9S_LICENSE_SERVER_URL",
}  # fmt: skip
# Maps that may hold anything; a name that is nearly one of these is taken for a slip.
_OPEN: dict[str, set[str]] = {
    "ccx.config": {"backup", "clouds", "databases", "parameters"},
    "ccx.services.deployer.config": {
        "aws_vendor",
        "cloudstack_vendors",
        "gcp_vendor",
        "openstack_vendors",
        "vmware_vendors",
        "zadara_vendors",
    },
    "global": {"imageRegistry", "replicas"},
    "ccx.db": {"address", "port"},
    "ccx.nats": {"server"},
    "cmon": {"license", "image", "enabled", "password", "user", "db", "exporter"},
    "external-dns": {"enabled", "provider", "domainFilters", "interval", "policy", "sources", "txtPrefix", "api"},
    "cert-manager": {"enabled", "crds"},
    "ccx.env": _ENVIRONMENT,
    **{f"ccx.services.{name}.env": _ENVIRONMENT for name in ("notify_worker", "billing", "uiapp", "auth")},
}

# How alike two names are that one is taken for a slip of the other; more where any name is allowed.
_NEAR, _NEARER = 0.8, 0.85
# A cloud's variable begins with a code that is the operator's to choose: STO_PASSWORD is no slip of SMTP_PASSWORD.
_CLOUDS = re.compile(r"(?!SMTP_).+_(AUTH_URL|USERNAME|PASSWORD|PROJECT_ID|USER_DOMAIN|USER_DOMAIN_NAME|.*KEY.*|S3_\w+)")


def check(tree: Tree, findings: Findings) -> None:
    """Refuses keys that no chart knows, with the one that was meant where there is one."""
    for path, names in _CLOSED.items():
        for key in _keys(tree, path):
            if key not in names:
                _unknown(tree, path, key, names, findings)
    for path, names in _OPEN.items():
        for key in _keys(tree, path):
            if key not in names and not _CLOUDS.fullmatch(key) and (near := _near(key, names, _NEARER)):
                findings.refuse(tree.where(f"{path}.{key}"), f"there is no key {key!r}", f"Did you mean {near}?")


def check_inner(found: object, names: set[str], where: str, findings: Findings) -> None:
    """The same for a map that may hold anything: only what is nearly one of ``names`` is refused."""
    for key in map(str, found) if isinstance(found, dict) else ():
        if key not in names and (near := _near(key, names, _NEARER)):
            findings.refuse(f"{where}.{key}", f"there is no key {key!r}", f"Did you mean {near}?")


def check_entry(entry: Mapping[str, Any], names: set[str], where: str, findings: Findings) -> None:
    """The same for an entry of a list."""
    for key in map(str, entry):
        if key not in names and (near := _near(key, names)):
            findings.refuse(f"{where}.{key}", f"there is no key {key!r}", f"Did you mean {near}?")


def _keys(tree: Tree, path: str) -> list[str]:
    found = tree.values if not path else tree.get(path)
    return [str(key) for key in found] if isinstance(found, dict) else []


def _unknown(tree: Tree, path: str, key: str, names: set[str], findings: Findings) -> None:
    near = _near(key, names)
    full = f"{path}.{key}" if path else key
    if near:
        findings.refuse(tree.where(full), f"there is no key {key!r}", f"Did you mean {near}?")
    elif path:
        known = ", ".join(sorted(names))
        findings.refuse(tree.where(full), f"there is no key {key!r}", f"Remove it. Known here: {known}")
    else:  # Helm lets anything stand at the top, and people keep their YAML anchors there.
        findings.warn(full, f"no chart of ours reads {key!r}", "Remove it, unless it holds anchors")


def _near(key: str, names: set[str], cutoff: float = _NEAR) -> str | None:
    by_folded = {name.lower(): name for name in sorted(names)}
    found = get_close_matches(key.lower(), by_folded, n=1, cutoff=cutoff)
    # Two letters the wrong way round are a slip however short the name is.
    found = found or [name for name in by_folded if sorted(name) == sorted(key.lower())]
    return by_folded[found[0]] if found else None
