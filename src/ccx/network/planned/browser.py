"""Section 7: what the console's pages load from elsewhere. No rule on any server."""

from ccx.network import Direction, Plane, Protocol, Status, When, declare

ANALYTICS = declare(
    id="browser.analytics", section=7, host="severalnines.piwik.pro", ports=443, protocol=Protocol.HTTPS,
    direction=Direction.OUTBOUND, plane=Plane.BROWSER, required=False, service="ccmgr", purpose="CCmgr analytics",
    needed=When(lambda s: bool(s.piwik_url), "REACT_APP_PIWIK_PRO_URL is set"), status=Status.PLANNED,
    behind=("severalnines.containers.piwik.pro",), when_blocked="nothing is measured; the console works",
)  # fmt: skip

ASSETS = declare(
    id="browser.assets", section=7, host="st.s9s.io", ports=443, protocol=Protocol.HTTPS,
    direction=Direction.OUTBOUND, plane=Plane.BROWSER, required=False, service="console",
    needed=When(lambda s: s.kubernetes.enabled or s.notify.email_enabled, "installed on Kubernetes or ENABLE_EMAIL"),
    purpose="logos, icons and e-mail images",
    when_blocked="images in e-mail notifications do not load", status=Status.PLANNED,
)  # fmt: skip
