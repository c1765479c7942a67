"""What is no error in the settings, and still wants doing: printed as warnings, and kept in the checklist."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ccx.network.kinds import Mirror
from ccx.network.plan import Plan
from ccx.settings.values.findings import Finding

if TYPE_CHECKING:
    from ccx.settings import Settings

# They redirect to hosts that change, or that nobody knows.
_REDIRECTING = {
    "registry.k8s.io": "cloud buckets that change",
    "container-registry.oracle.com": "hosts that are not known",
    "dlm.mariadb.com": "storage on a host that is not known",
}


def findings(plan: Plan) -> tuple[Finding, ...]:
    """For the settings that ``plan`` was made of; none for a plan from a file."""
    return tuple(_findings(plan, plan.settings)) if plan.settings is not None else ()


def is_air_gapped(settings: Settings) -> bool:
    """Whether the operator mirrors what nodes or the cluster pull, as one does behind a fence."""
    return bool(settings.kubernetes.image_registry or settings.mirror.packages)


def _findings(plan: Plan, settings: Settings) -> Iterator[Finding]:
    if settings.stripe and is_air_gapped(settings):
        yield Finding(
            "ccx.services.billing.stripe", "Stripe is on in an air gap: payments need api.stripe.com",
            "Set it to false, or let api.stripe.com and js.stripe.com out",
        )  # fmt: skip
    if settings.kubernetes.enabled and not settings.license.preset:
        yield Finding(
            "cmon.license", "the licence is not pre-set: a trial is fetched when the first user registers",
            "Set cmon.license, base64 in the ccx chart and plain in the clustercontrol chart",
        )  # fmt: skip
    for path, image in settings.kubernetes.images:
        if is_latest(image):
            yield Finding(path, f"the image {image} is whatever is latest when it is pulled", "Pin a version or digest")
    if any(row.id == "images.kubectl" for row in plan.rows):
        yield Finding("mysql-innodb-patch", "the chart's own bitnami/kubectl:latest is not pinned",
                      "Mirror it by digest, and override the image")  # fmt: skip
    for host in sorted({row.host for row in plan.rows if row.host in _REDIRECTING}):
        kind = {row.mirror for row in plan.rows if row.host == host}
        setting = "global.imageRegistry" if Mirror.IMAGE_REGISTRY in kind else "ccx.mirror.packages"
        yield Finding(host, f"it redirects to {_REDIRECTING[host]}, which no rule can allow",
                      f"Mirror it: set {setting}")  # fmt: skip
    for cloud in settings.clouds:
        if cloud.type not in ("local", "simulated") and not any(
            row.id.startswith(f"cloud.{cloud.type}.") for row in plan.rows
        ):
            yield Finding(f"clouds.{cloud.code}", "the plan has no rows for its API", "Set its endpoint or its regions")


def is_latest(image: str) -> bool:
    """Whether an image's reference follows ``latest``, by name or for want of a tag or digest."""
    if "@" in image:
        return False
    tag = image.rpartition("/")[2].partition(":")[2]
    return tag in ("", "latest")
