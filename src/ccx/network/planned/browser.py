"""Section 7: what the console's pages load from elsewhere. No rule on any server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccx.network import Address, Direction, Plane, Protocol, Status, When, declare
from ccx.network.hosts import parse_url

if TYPE_CHECKING:
    from ccx.settings import Settings


def _piwik(settings: Settings) -> tuple[Address, ...]:
    """Each account has a host of its own, and a second one that serves its script."""
    if not settings.piwik_url:
        return ()
    host = parse_url(settings.piwik_url, field="piwik_url").host
    account, _, domain = host.partition(".")
    return (Address(host, behind=(f"{account}.containers.{domain}",) if domain == "piwik.pro" else ()),)


ANALYTICS = declare(
    id="browser.analytics", section=7, host=_piwik, ports=443, protocol=Protocol.HTTPS,
    direction=Direction.OUTBOUND, plane=Plane.BROWSER, required=False, service="ccmgr", purpose="CCmgr analytics",
    needed=When(lambda s: bool(s.piwik_url), "REACT_APP_PIWIK_PRO_URL is set"), status=Status.PLANNED,
    when_blocked="nothing is measured; the console works",
)  # fmt: skip

ASSETS = declare(
    id="browser.assets", section=7, host="st.s9s.io", ports=443, protocol=Protocol.HTTPS,
    direction=Direction.OUTBOUND, plane=Plane.BROWSER, required=False, service="console",
    needed=When(lambda s: s.kubernetes.enabled or s.notify.email_enabled, "installed on Kubernetes or ENABLE_EMAIL"),
    purpose="logos, icons and e-mail images",
    when_blocked="images in e-mail notifications do not load", status=Status.PLANNED,
)  # fmt: skip
