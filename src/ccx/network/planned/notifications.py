"""Section 5: notification channels, each off by default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ccx.network import Address, Direction, Plane, Protocol, Status, When, declare, from_url

if TYPE_CHECKING:
    from ccx.settings import Settings


def _smtp(settings: Settings) -> tuple[Address, ...]:
    host, port = settings.notify.smtp_host, settings.notify.smtp_port
    return (Address(host, port),) if host else ()


def _channel(
    id_: str, host: Any, protocol: Protocol, when: When, purpose: str, path: str = "",
    section: int | None = 5, reason: str = "",
) -> None:  # fmt: skip
    declare(
        id=f"notify.{id_}", section=section, reason=reason, host=host, ports=443, protocol=protocol,
        direction=Direction.OUTBOUND,
        plane=Plane.CONTROL, needed=when, required=False, service="ccx-notify-worker", purpose=purpose, path=path,
        when_blocked="alerts stay queued and are retried; the other channels go on", status=Status.PLANNED,
    )  # fmt: skip


_channel("smtp", _smtp, Protocol.TCP, When(lambda s: s.notify.email_enabled, "ENABLE_EMAIL"), "sends e-mail (SMTP)")
_channel("slack", from_url(lambda s: s.notify.slack_url, "notify.slack_url", default="https://hooks.slack.com"),
         Protocol.HTTPS, When(lambda s: s.notify.slack_enabled, "ENABLE_SLACK"),
         "posts alerts to a channel")  # fmt: skip
_channel("slack-api", "slack.com", Protocol.HTTPS,
         When(lambda s: s.notify.slack_enabled and s.notify.slack_channel, "ENABLE_SLACK and SLACK_CHANNEL"),
         "posts alerts to SLACK_CHANNEL, which a web hook would ignore (chat.postMessage, with a token)",
         path="/api/chat.postMessage", section=None,
         reason="The specification has SLACK_CHANNEL, and no host by which it can be honoured")  # fmt: skip
_channel("pagerduty", from_url(lambda s: s.notify.pagerduty_url, "notify.pagerduty_url",
                               default="https://events.pagerduty.com"), Protocol.HTTPS,
         When(lambda s: s.notify.pagerduty_enabled, "ENABLE_PAGERDUTY"),
         "raises incidents", path="/v2/enqueue")  # fmt: skip
