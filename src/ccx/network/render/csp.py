"""The console's Content-Security-Policy: what its pages may load from elsewhere, from the browser's rows."""

from __future__ import annotations

from ccx.network.kinds import Plane
from ccx.network.plan import Plan, Row

_OWN = {
    "default-src": ["'self'"], "script-src": ["'self'"], "style-src": ["'self'"], "img-src": ["'self'", "data:"],
    "font-src": ["'self'"], "connect-src": ["'self'"], "frame-src": [], "object-src": [], "base-uri": ["'self'"],
    "form-action": ["'self'"], "frame-ancestors": [],
}  # fmt: skip
# What a page does with a row's hosts; anything else may only be asked for data.
_USES = {
    "billing.stripe-js": ("script-src", "frame-src", "connect-src"),
    "browser.analytics": ("script-src", "img-src", "connect-src"),
    "browser.assets": ("img-src",),
}


def render(plan: Plan) -> str:
    """The header's value, on one line."""
    policy = {directive: list(sources) for directive, sources in _OWN.items()}
    for row in plan.select(Plane.BROWSER):
        for directive in _USES.get(row.id, ("connect-src",)):
            policy[directive] += [source for source in _sources(row) if source not in policy[directive]]
    return (
        "; ".join(f"{name} {' '.join(sources) or chr(39) + 'none' + chr(39)}" for name, sources in policy.items())
        + "\n"
    )


def _sources(row: Row) -> list[str]:
    port = "" if row.port == 443 else f":{row.port}"
    return [f"https://{host}{port}" for host in row.hosts]
