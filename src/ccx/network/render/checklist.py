"""The specification's summary checklist, ticked from settings: what is done, what is left, and how to do it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ccx.errors import Invalid
from ccx.network.findings import findings
from ccx.network.kinds import Direction, Plane, Status
from ccx.network.plan import Plan, Row
from ccx.settings import Settings
from ccx.settings.values.findings import Finding


@dataclass(frozen=True)
class Line:
    """One line of the specification's checklist."""

    words: str
    ids: tuple[str, ...]
    """The rows it is about; a final ``.`` stands for all that begin so."""
    done: Callable[[Settings], str]
    """Why nothing is left to do; empty where something is."""
    todo: str
    """What is left to do about the rows."""

    def rows(self, plan: Plan) -> list[Row]:
        return [r for r in plan.rows if any(r.id == i or (i.endswith(".") and r.id.startswith(i)) for i in self.ids)]


def _off(on: Callable[[Settings], object], words: str) -> Callable[[Settings], str]:
    return lambda s: "" if on(s) else f"not needed: {words}"


def _mirrored(of: Callable[[Settings], str]) -> Callable[[Settings], str]:
    return lambda s: f"mirrored at {of(s)}" if of(s) else ""


_packages = _mirrored(lambda s: s.mirror.packages)
_images = _mirrored(lambda s: s.kubernetes.image_registry)

REQUIRED = (
    Line("Container image registries reachable, or mirrored", ("images.",),
         lambda s: _images(s) or ("" if s.kubernetes.enabled else "not needed: not on Kubernetes"),
         "allow these hosts, or set global.imageRegistry to a mirror"),
    Line("cmon.license pre-set in Helm values (avoids the licence server)", (),
         lambda s: "set" if s.license.preset else "", "set cmon.license: base64 in the ccx chart, plain in the other"),
    Line("Nodes can reach europe-apt.pkg.dev and the database vendors' repositories",
         tuple(f"packages.{name}" for name in (
             "s9s", "mariadb", "postgresql", "ps-80", "pxc-80", "pxb-80", "ps-84-lts", "pxc-84-lts", "pxb-84-lts",
             "percona-telemetry")), _packages,
         "allow these hosts for nodes, or set ccx.mirror.packages to an APT mirror"),
    Line("Nodes can reach packages.fluentbit.io", ("packages.fluentbit",), _packages,
         "allow it for nodes, or set ccx.mirror.packages"),
    Line("Nodes can reach the backup store", ("backup.",), lambda s: "" if s.clouds else "not needed: no cloud",
         "allow it for nodes and the control plane, or set the cloud's s3.endpoint to an internal store"),
    Line("Cloud APIs reachable from the control plane", ("cloud.",),
         lambda s: "" if any(c.type not in ("local", "simulated") for c in s.clouds) else "not needed: none outside",
         "allow these hosts, or use the cloud's private endpoints"),
)  # fmt: skip

OPTIONAL = (
    Line("severalnines.com/service/lic.php, only if cmon.license is not pre-set", ("license.trial",),
         _off(lambda s: not s.license.preset, "cmon.license is set"), "allow it, or set cmon.license"),
    Line("SMTP host, only if ENABLE_EMAIL=true", ("notify.smtp",),
         _off(lambda s: s.notify.email_enabled, "ENABLE_EMAIL is off"), "allow it from the control plane"),
    Line("hooks.slack.com, only if ENABLE_SLACK=true", ("notify.slack", "notify.slack-api"),
         _off(lambda s: s.notify.slack_enabled, "ENABLE_SLACK is off"), "allow it from the control plane"),
    Line("events.pagerduty.com, only if ENABLE_PAGERDUTY=true", ("notify.pagerduty",),
         _off(lambda s: s.notify.pagerduty_enabled, "ENABLE_PAGERDUTY is off"), "allow it from the control plane"),
    Line("api.stripe.com, only if ccx.services.billing.stripe: true", ("billing.",),
         _off(lambda s: s.stripe, "ccx.services.billing.stripe is off"),
         "allow it from the control plane, js.stripe.com for browsers, and Stripe's web hooks in"),
    Line("DNS provider's API, only if external-dns is enabled", ("dns.provider",),
         _off(lambda s: s.kubernetes.external_dns.enabled, "external-dns.enabled is off"),
         "allow it from the control plane"),
    Line("Helm chart repositories, only at install and upgrade", ("charts.",),
         lambda s: _mirrored(lambda x: x.mirror.charts)(s) or ("" if s.kubernetes.enabled else
                                                              "not needed: not on Kubernetes"),
         "allow these hosts where helm runs, or set ccx.mirror.charts to a mirror"),
)  # fmt: skip


def render(plan: Plan, *, warnings: Iterable[Finding] = ()) -> str:
    """Markdown. ``warnings`` are those of reading the settings; the plan's own come with them."""
    settings = plan.settings
    if settings is None:
        raise Invalid(
            "a checklist is ticked from settings", field="format", remedy="Give settings, not an exported plan"
        )
    lines = ["# Firewall checklist", "", "## Required for all deployments", ""]
    lines += [text for line in REQUIRED for text in _lines(line, plan, settings)]
    lines += ["", "## Required only if the feature is enabled", ""]
    lines += [text for line in OPTIONAL for text in _lines(line, plan, settings)]
    covered = {row.id for line in (*REQUIRED, *OPTIONAL) for row in line.rows(plan)}
    others = [r for r in plan.rows if r.id not in covered and r.plane in (Plane.CONTROL, Plane.DATA, Plane.INSTALL)]
    if others:
        lines += ["", "## Beyond the specification", ""]
        lines += [f"- [ ] {_row(row)}" for row in others]
    if found := dict.fromkeys([*warnings, *findings(plan)]):
        lines += ["", "## To look at", ""]
        lines += [f"- [ ] `{f.field}`: {f.err}. {f.remedy}" for f in found]
    return "\n".join([*lines, ""])


def _lines(line: Line, plan: Plan, settings: Settings) -> list[str]:
    if reason := line.done(settings):
        return [f"- [x] {line.words}: {reason}"]
    rows = line.rows(plan)
    return [f"- [ ] {line.words}: {line.todo}", *(f"    - {_row(row)}" for row in rows)]


def _row(row: Row) -> str:
    behind = f" (with {', '.join(row.behind)})" if row.behind else ""
    planned = ", planned" if row.status is Status.PLANNED else ""
    way = "from" if row.direction is Direction.INBOUND else "to"
    need = "" if row.required else ", optional"
    return f"{row.plane} {way} `{row.where}` {row.protocol}{behind}: {row.purpose} (`{row.id}`{need}{planned})"
