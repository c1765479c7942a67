"""From files and environment to :class:`Settings`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ccx.settings.features import ExternalDns, Kubernetes, License, Mirrors, Notify
from ccx.settings.model import Paths, Settings
from ccx.settings.values import hosts, known, licence
from ccx.settings.values.cloud_secrets import Secrets
from ccx.settings.values.clouds import clouds
from ccx.settings.values.databases import databases
from ccx.settings.values.environment import Environment, flag
from ccx.settings.values.findings import Finding, Findings
from ccx.settings.values.images import images
from ccx.settings.values.tree import Tree, load

_ORIGINS = {
    "kubernetes.external_dns.provider": "external-dns.provider.name",
    "kubernetes.external_dns.api": "external-dns.api",
}


@dataclass(frozen=True)
class Given:
    """What an operator gave: the settings it amounts to, and what is odd about it."""

    settings: Settings
    warnings: tuple[Finding, ...]
    origins: Mapping[str, str] = field(default_factory=dict)
    """Where settings stand that only the contract can check, by the setting's name."""


def read(
    values: Sequence[Path],
    ccx_yaml: Path | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    lenient: bool = False,
) -> Given:
    """Settings of an installation on Kubernetes.

    Later ``values`` files win over earlier ones, ``ccx_yaml`` (``{config, deployer}``) over them, ``environ`` over
    all. Raises Invalid with file, path and remedy for what can't be right; ``lenient``, most of that is a warning.
    Nothing that is secret is kept, so nothing can show.
    """
    findings = Findings(lenient=lenient)
    tree = Tree()
    for file in values:
        found = load(file)
        licence.check(found, str(file), findings)
        tree.merge(found, str(file))
    if ccx_yaml is not None:
        _merge_ccx_yaml(tree, load(ccx_yaml), str(ccx_yaml), findings)
    known.check(tree, findings)
    settings = _settings(tree, environ, findings)
    return Given(settings, tuple(findings.warnings), {name: tree.where(path) for name, path in _ORIGINS.items()})


def _merge_ccx_yaml(tree: Tree, found: Mapping[str, object], file: str, findings: Findings) -> None:
    """Lays a ``ccx.yaml``'s trees over the values, at their places there."""
    if "config" in found and "legacy" in found:
        findings.refuse(f"{file}: legacy", "config and legacy are two names of one thing", "Keep config")
    for key in found:
        if key not in ("config", "legacy", "deployer"):
            findings.refuse(f"{file}: {key}", f"there is no key {key!r}", "A ccx.yaml holds config and deployer")
    ccx: dict[str, object] = {}
    name = "config" if found.get("config") is not None else "legacy"
    moved = {"ccx.config": name}
    if (config := found.get(name)) is not None:
        ccx["config"] = config
    if (deployer := found.get("deployer")) is not None:
        is_nested = isinstance(deployer, dict) and "config" in deployer
        ccx["services"] = {"deployer": deployer if is_nested else {"config": deployer}}
        moved |= {"ccx.services.deployer.config": "deployer.config" if is_nested else "deployer"}
    tree.merge({"ccx": ccx}, file, moved)


def _settings(tree: Tree, environ: Mapping[str, str], findings: Findings) -> Settings:
    defaults = Settings(paths=Paths.of("default"))
    fqdn = hosts.host(tree, tree.get("ccxFQDN") or tree.get("fqdn"), tree.where("ccxFQDN"), findings)
    domain = hosts.host(tree, tree.get("ccx.userDomain"), tree.where("ccx.userDomain"), findings)
    console = Environment(tree, "uiapp", environ)
    return Settings(
        paths=defaults.paths, fqdn=fqdn or defaults.fqdn, user_domain=domain or defaults.user_domain,
        cc_fqdn=hosts.host(tree, tree.get("ccFQDN"), tree.where("ccFQDN"), findings),
        clouds=clouds(tree, Secrets(tree, environ), findings), databases=databases(tree, findings),
        kubernetes=_kubernetes(tree, findings), notify=_notify(tree, environ, findings),
        license=_license(tree, environ, findings), stripe=_stripe(tree, environ, findings),
        piwik_url=_piwik(tree, console, findings),
        dsn=_database(tree, findings), nats_url=_nats(tree, findings),
        percona_telemetry=flag(tree, "ccx.perconaTelemetry", findings),
        mirror=Mirrors(
            packages=_url(tree, "ccx.mirror.packages", findings), charts=_url(tree, "ccx.mirror.charts", findings),
            key=str(tree.get("ccx.mirror.key") or ""),
        ),
        egress_proxy=_url(tree, "ccx.egressProxy", findings),
    )  # fmt: skip


def _url(tree: Tree, path: str, findings: Findings) -> str:
    return hosts.url(tree, tree.get(path), tree.where(path), findings)


def _database(tree: Tree, findings: Findings) -> str:
    """Host and port only, by the chart's default name: whoever plans does not log in."""
    where = tree.where("ccx.db.port")
    name = hosts.host(tree, tree.get("ccx.db.address", "acid-ccx"), tree.where("ccx.db.address"), findings)
    return f"postgresql://{name}:{hosts.port(tree.get('ccx.db.port'), where, 5432, findings)}/ccx" if name else ""


def _nats(tree: Tree, findings: Findings) -> str:
    server = str(tree.get("ccx.nats.server", "nats"))
    return hosts.url(tree, server if "://" in server else f"nats://{server}", tree.where("ccx.nats.server"), findings)


def _kubernetes(tree: Tree, findings: Findings) -> Kubernetes:
    dns = flag(tree, "external-dns.enabled", findings)
    provider = tree.get("external-dns.provider")
    name = provider.get("name") if isinstance(provider, dict) else provider
    if dns and not name:
        findings.warn(tree.where("external-dns.provider.name"), "external-dns is on and no provider is named",
                      "Name it; without, its chart takes aws")  # fmt: skip
    return Kubernetes(
        enabled=True,
        image_registry=hosts.url(
            tree, tree.get("global.imageRegistry"), tree.where("global.imageRegistry"), findings
        ).removeprefix("https://"),
        images=images(tree),
        cert_manager=flag(tree, "cert-manager.enabled", findings),
        mysql_operator=flag(tree, "oracle-mysql-operator.enabled", findings)
        or flag(tree, "installMysqlOperator", findings),
        mysql_innodbcluster=flag(tree, "mysql-innodbcluster.enabled", findings),
        external_dns=ExternalDns(
            enabled=dns, provider=str(name or ("aws" if dns else "")), api=_url(tree, "external-dns.api", findings)
        ),
    )


def _notify(tree: Tree, environ: Mapping[str, str], findings: Findings) -> Notify:
    env = Environment(tree, "notify_worker", environ)
    email, slack, pagerduty = (env.flag(f"ENABLE_{name}", findings) for name in ("EMAIL", "SLACK", "PAGERDUTY"))
    smtp = hosts.host(tree, env.text("SMTP_HOST"), env.where("SMTP_HOST"), findings) if email else ""
    if email and not env.is_set("SMTP_HOST"):
        findings.refuse(env.where("ENABLE_EMAIL"), "e-mail is on, and nothing says by which server",
                        "Set SMTP_HOST, and SMTP_PORT unless it is 587; or ENABLE_EMAIL: \"false\"")  # fmt: skip
    if slack and not env.is_set("SLACK_URL"):
        findings.warn(env.where("ENABLE_SLACK"), "Slack is on without SLACK_URL: nothing can be posted",
                      "Set SLACK_URL to the web hook's URL")  # fmt: skip
    if pagerduty and not env.is_set("PAGERDUTY_KEY"):
        findings.warn(env.where("ENABLE_PAGERDUTY"), "PagerDuty is on without PAGERDUTY_KEY: nothing can be raised",
                      "Set PAGERDUTY_KEY to the integration's key")  # fmt: skip
    return Notify(
        email_enabled=email, smtp_host=smtp,
        smtp_port=hosts.port(env.text("SMTP_PORT"), env.where("SMTP_PORT"), 587, findings),
        slack_enabled=slack, slack_url=hosts.url(tree, env.text("SLACK_URL"), env.where("SLACK_URL"), findings),
        slack_channel=env.is_set("SLACK_CHANNEL"), pagerduty_enabled=pagerduty,
        pagerduty_url=hosts.url(tree, env.text("PAGERDUTY_URL"), env.where("PAGERDUTY_URL"), findings),
    )  # fmt: skip


def _license(tree: Tree, environ: Mapping[str, str], findings: Findings) -> License:
    env = Environment(tree, "auth", environ)
    server = hosts.url(
        tree, env.text("S9S_LICENSE_SERVER_URL"), env.where("S9S_LICENSE_SERVER_URL"), findings, path=True
    )
    given = {"server_url": server} if server else {}
    return License(preset=bool(str(tree.get("cmon.license", "")).strip()), **given)


def _stripe(tree: Tree, environ: Mapping[str, str], findings: Findings) -> bool:
    path = "ccx.services.billing.stripe"
    on = flag(tree, path, findings)
    if on and not Environment(tree, "billing", environ).is_set("STRIPE_SECRET_KEY"):
        findings.refuse(
            tree.where(path), "Stripe is on without a key",
            "Set STRIPE_SECRET_KEY in the environment or in ccx.services.billing.env, or stripe: false",
        )  # fmt: skip
    return on


def _piwik(tree: Tree, env: Environment, findings: Findings) -> str:
    name = "REACT_APP_PIWIK_PRO_URL"
    if not env.is_set("REACT_APP_PIWIK_PRO_ID") and not env.is_set(name):
        return ""
    return hosts.url(tree, env.text(name) or "https://severalnines.piwik.pro", env.where(name), findings)
