"""Section 6: Stripe, off by default."""

from ccx.network import USERS, Direction, Plane, Protocol, Status, When, declare

_STRIPE = When(lambda s: s.stripe, "ccx.services.billing.stripe")

API = declare(
    id="billing.stripe", section=6, host="api.stripe.com", ports=443, protocol=Protocol.HTTPS,
    direction=Direction.OUTBOUND, plane=Plane.CONTROL, needed=_STRIPE, required=False, service="ccx-billing-service",
    purpose="subscription and payment management", status=Status.PLANNED,
    when_blocked="payments are not taken and are retried; datastores go on",
)  # fmt: skip

BROWSER = declare(
    id="billing.stripe-js", section=6, host="js.stripe.com", ports=443, protocol=Protocol.HTTPS,
    direction=Direction.OUTBOUND, plane=Plane.BROWSER, needed=_STRIPE, required=False, service="console",
    purpose="Stripe's payment elements", behind=("api.stripe.com", "hooks.stripe.com", "m.stripe.network"),
    source="specification, section 6; m.stripe.network is not sure", status=Status.PLANNED,
    when_blocked="the payment page shows no card form",
)  # fmt: skip

WEBHOOKS = declare(
    id="billing.webhooks", section=None,
    reason="Stripe reports payments by web hook; inbound is not in the specification",
    host=USERS, ports=443, protocol=Protocol.HTTPS, direction=Direction.INBOUND, plane=Plane.CONTROL, needed=_STRIPE,
    required=False, service="ccx-billing-service", purpose="Stripe's web hooks", status=Status.PLANNED,
    when_blocked="payments show only after the next comparison with Stripe",
)  # fmt: skip
