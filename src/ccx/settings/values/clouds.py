"""``ccx.config.clouds`` with what the deployer and the environment say of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ccx.settings.codes import prefix
from ccx.settings.model import CloudConfig, InstanceType, Region, VolumeType
from ccx.settings.values import hosts
from ccx.settings.values.cloud_secrets import Secrets
from ccx.settings.values.environment import ON, flag
from ccx.settings.values.findings import Findings
from ccx.settings.values.known import check_entry, check_inner
from ccx.settings.values.tree import Tree, entries, whole

_DEPLOYER = "ccx.services.deployer.config"
# The map of the deployer's vendors, and where in a vendor the API's URL stands.
_VENDORS = {
    "openstack": ("openstack_vendors", "auth_url"), "vmware": ("vmware_vendors", "vc_url"),
    "vcd": ("vmware_vendors", "vc_url"), "cloudstack": ("cloudstack_vendors", "url"),
    "zadara": ("zadara_vendors", "endpoint"),
}  # fmt: skip
_SINGLE = {"aws": "aws_vendor", "gcp": "gcp_vendor"}
TYPES = ("aws", "cloudstack", "gcp", "local", "openstack", "simulated", "vcd", "vmware", "zadara")
# The keys of a vendor that are read, or are near enough to one that is; others are the deployer's own.
_VENDOR_KEYS = {
    "auth_url", "endpoint", "endpoints", "floating_network_id", "image_id", "network", "network_id", "project",
    "project_id", "regions", "s3", "url", "vc_url",
}  # fmt: skip
_S3_KEYS = {"access_key", "bucket", "enabled", "endpoint", "insecure_ssl", "region", "secret_key"}
_REGION_KEYS = {"availability_zones", "city", "code", "continent_code", "country_code", "display_code", "name"}
_SERVICES = ("compute", "volume", "network", "image")
_KEYS = {
    "code", "type", "name", "regions", "instance_types", "volume_types", "network_types", "endpoint", "has_vpcs", "s3",
    "enabled", "logo", "info",
}  # fmt: skip


def clouds(tree: Tree, secrets: Secrets, findings: Findings) -> tuple[CloudConfig, ...]:
    """The clouds that are configured; without ``ccx.config.clouds``, those that the deployer knows."""
    found: dict[str, CloudConfig] = {}
    for where, entry in _entries(tree, findings):
        if entry.get("enabled") is False:
            continue
        code = str(entry.get("code") or "")
        if not code:
            findings.refuse(f"{where}.code", "a cloud without a code", "Give it one, as requests will name it")
            continue
        if code in found:
            findings.refuse(f"{where}.code", f"there are two clouds {code!r}", "Give each a code of its own")
            continue
        type_ = _type(tree, code, entry, where, findings)
        if type_:
            found[code] = _cloud(tree, code, type_, entry, where, secrets, findings)
            secrets.check(code, type_, f"{where}.code", findings)
    return tuple(found.values())


def _entries(tree: Tree, findings: Findings) -> Iterator[tuple[str, Mapping[str, Any]]]:
    where = tree.where("ccx.config.clouds")
    if tree.has("ccx.config.clouds"):
        for index, entry in enumerate(tree.list("ccx.config.clouds")):
            if isinstance(entry, dict):
                check_entry(entry, _KEYS, f"{where}.{index}", findings)
                yield f"{where}.{index}", entry
            else:
                findings.refuse(f"{where}.{index}", "a cloud must be a mapping", "Write its code, type and regions")
        return
    implied = [{"code": type_, "type": type_} for type_, name in _SINGLE.items() if tree.has(f"{_DEPLOYER}.{name}")]
    for type_, (name, _) in _VENDORS.items():
        if type_ != "vcd":
            implied += [{"code": code, "type": type_} for code in tree.map(f"{_DEPLOYER}.{name}")]
    if not implied:
        findings.warn(where, "no cloud is configured, so the plan has no rows for one",
                      "List them; without, the ccx chart takes AWS in eu-north-1")  # fmt: skip
    for entry in implied:
        yield tree.where(f"{_DEPLOYER}"), entry


def _type(tree: Tree, code: str, entry: Mapping[str, Any], where: str, findings: Findings) -> str:
    type_ = str(entry.get("type") or "")
    if not type_:  # The charts' own examples leave it out.
        known = [t for t, (name, _) in _VENDORS.items() if code in tree.map(f"{_DEPLOYER}.{name}")]
        type_ = known[0] if known else code if code in TYPES else ""
    if type_ not in TYPES:
        problem = f"there is no cloud type {type_!r}" if type_ else f"nothing says of what type the cloud {code!r} is"
        findings.refuse(f"{where}.type", problem, f"Types are: {', '.join(TYPES)}")
        return ""
    return type_


def _cloud(
    tree: Tree, code: str, type_: str, entry: Mapping[str, Any], where: str, secrets: Secrets, findings: Findings
) -> CloudConfig:
    path, vendor = _vendor(tree, code, type_, findings)
    check_inner(vendor, _VENDOR_KEYS, tree.where(path), findings)
    check_inner(vendor.get("s3"), _S3_KEYS, tree.where(f"{path}.s3"), findings)
    check_inner(vendor.get("endpoints"), set(_SERVICES), tree.where(f"{path}.endpoints"), findings)
    regions = _regions(type_, entry, vendor, where, findings)
    endpoint = _endpoint(tree, code, type_, entry, where, path, vendor, secrets, findings)
    if isinstance(entry.get("s3"), dict):
        there = f"{_DEPLOYER}.{_VENDORS[type_][0]}.{code}.s3" if type_ in _VENDORS else "its cloud secrets"
        findings.refuse(f"{where}.s3", "an object store is not said here, so this one would not be used",
                        f"Say its address as {prefix(code)}_S3_ENDPOINT, or under {there}")  # fmt: skip
    s3_where = secrets.where(code, "S3_ENDPOINT") or tree.where(f"{path}.s3.endpoint")
    s3 = vendor.get("s3") if isinstance(vendor.get("s3"), dict) else {}
    own = secrets.text(code, "S3_ENDPOINT") or (s3 or {}).get("endpoint")
    if type_ == "aws" and not regions:
        findings.refuse(f"{where}.regions", f"the cloud {code!r} has no region: its plan would be empty",
                        "List the regions by code")  # fmt: skip
    services = vendor.get("endpoints") if isinstance(vendor.get("endpoints"), dict) else {}
    return CloudConfig(
        code=code, type=type_, name=str(entry.get("name") or code), regions=regions,
        instance_types=tuple(_instance_types(entry, where)), volume_types=tuple(_volume_types(entry, where)),
        endpoint=endpoint,
        service_endpoints=tuple(
            url for name in _SERVICES
            if (url := hosts.url(tree, (services or {}).get(name), tree.where(f"{path}.endpoints.{name}"), findings))
        ),
        s3_endpoint=hosts.url(tree, own, s3_where, findings),
        s3_bucket=secrets.text(code, "S3_BUCKETNAME"),
        s3_insecure_ssl=secrets.text(code, "S3_INSECURE_SSL").strip().lower() in ON,
        s3=flag(tree, f"{path}.s3.enabled", findings, True) if path else True,
    )  # fmt: skip


def _vendor(tree: Tree, code: str, type_: str, findings: Findings) -> tuple[str, Mapping[str, Any]]:
    """The deployer's entry for a cloud: under its code, or the only one of its type."""
    if type_ in _SINGLE:
        path = f"{_DEPLOYER}.{_SINGLE[type_]}"
        return path, tree.map(path)
    if type_ not in _VENDORS:
        return "", {}
    path = f"{_DEPLOYER}.{_VENDORS[type_][0]}"
    vendors = tree.map(path)
    if code not in vendors and len(vendors) == 1:
        only = next(iter(vendors))
        findings.warn(tree.where(f"{path}.{only}"), f"taken for the cloud {code!r}, the only one of its type",
                      f"Call it {code}")  # fmt: skip
        return f"{path}.{only}", tree.map(f"{path}.{only}")
    return f"{path}.{code}", tree.map(f"{path}.{code}") if code in vendors else {}


def _endpoint(
    tree: Tree, code: str, type_: str, entry: Mapping[str, Any], where: str, path: str, vendor: Mapping[str, Any],
    secrets: Secrets, findings: Findings,
) -> str:  # fmt: skip
    if type_ not in _VENDORS:
        return hosts.url(tree, entry.get("endpoint"), f"{where}.endpoint", findings)
    key = _VENDORS[type_][1]
    field, value = tree.where(f"{path}.{key}"), vendor.get(key)
    if not value and entry.get("endpoint"):
        field, value = f"{where}.endpoint", entry["endpoint"]
    if type_ == "openstack" and secrets.text(code, "AUTH_URL"):
        field, value = secrets.where(code, "AUTH_URL"), secrets.text(code, "AUTH_URL")
    found = hosts.url(tree, value, field, findings)
    if not found and not value:
        findings.refuse(field, f"nothing says where the API of the cloud {code!r} is: its plan would be empty",
                        f"Set {key} to its URL")  # fmt: skip
    return found


def _regions(
    type_: str, entry: Mapping[str, Any], vendor: Mapping[str, Any], where: str, findings: Findings
) -> tuple[Region, ...]:
    listed = [r for r in entries(entry.get("regions"), f"{where}.regions") if isinstance(r, dict | str)]
    if not listed and isinstance(vendor.get("regions"), dict):
        listed = list(map(str, vendor["regions"]))
    found = {}
    for index, region in enumerate(listed):
        facts = {"code": region} if isinstance(region, str) else region
        check_inner(facts, _REGION_KEYS, f"{where}.regions.{index}", findings)
        code = str(facts.get("code") or "")
        if code and type_ == "aws" and not hosts.is_host(code):
            findings.refuse(f"{where}.regions.{index}.code", "this is no region's code: hosts are called after it",
                            "Write it as eu-west-1")  # fmt: skip
        elif code:
            zones = entries(facts.get("availability_zones"), f"{where}.regions.{index}.availability_zones")
            found[code] = Region(
                code=code, name=str(facts.get("name") or code), country_code=str(facts.get("country_code") or ""),
                city=str(facts.get("city") or ""),
                availability_zones=tuple(str(zone.get("code") if isinstance(zone, dict) else zone) for zone in zones),
            )  # fmt: skip
    return tuple(found.values())


def _instance_types(entry: Mapping[str, Any], where: str) -> Iterator[InstanceType]:
    for index, size in enumerate(entries(entry.get("instance_types"), f"{where}.instance_types")):
        if isinstance(size, dict) and size.get("code") and size.get("cpu") and size.get("ram"):
            code, at = str(size["code"]), f"{where}.instance_types.{index}"
            yield InstanceType(
                code=code, name=str(size.get("name") or code), type=str(size.get("type") or code),
                cpu=whole(size["cpu"], f"{at}.cpu"), ram=whole(size["ram"], f"{at}.ram"),
            )  # fmt: skip


def _volume_types(entry: Mapping[str, Any], where: str) -> Iterator[VolumeType]:
    for kind in entries(entry.get("volume_types"), f"{where}.volume_types"):
        if isinstance(kind, dict) and kind.get("code"):
            code = str(kind["code"])
            yield VolumeType(code=code, name=str(kind.get("name") or code), has_iops=bool(kind.get("has_iops")))
