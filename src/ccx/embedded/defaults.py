"""The ``ccx.yaml`` that a new instance on one machine begins with. The operator's own from then on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import yaml

from ccx.embedded import object_store
from ccx.embedded.layout import Layout
from ccx.embedded.nats import credentials_file
from ccx.errors import Invalid

_TEMPLATE = """\
# The installation's settings. After a change: ccx down --instance {instance}; ccx up --instance {instance}
# Its addresses on this machine are written by "ccx up"; leave them.
node_network: {subnet}
control_address: {control}
resolver_address: {router}
client_address: {host}
public_url: {public_url}
dsn: {dsn}
nats_url: {nats_url}
nats_credentials: {nats_credentials}

fqdn: ccx.localhost
user_domain: {user_domain}

auto_repair:
  enabled: true
  delay: 300 # seconds that a node is lost before it is replaced

clouds:
  - code: local
    type: local # machine containers on this machine
    name: This machine
    regions:
      - {{code: local, name: This machine, availability_zones: [local-1]}}
    instance_types:
      - {{code: tiny, name: Tiny, type: tiny, cpu: 1, ram: 1}}
      - {{code: small, name: Small, type: small, cpu: 1, ram: 2}}
      - {{code: medium, name: Medium, type: medium, cpu: 2, ram: 4}}
    volume_types: # GiB
      - {{code: ssd, name: SSD, min: 10, max: 1000, default: 10}}
    # Backups: the object store that "ccx up" runs itself, or another that speaks S3. "ccx storage check" tries it.
    s3_endpoint: {s3_url}
    s3_bucket: {s3_bucket}
    s3_ca: {s3_ca}
    s3_credentials: {s3_credentials} # access key and secret key, a line each
"""


def settings_text(layout: Layout) -> str:
    """The first ``ccx.yaml`` of an instance."""
    return _TEMPLATE.format(
        instance=layout.instance,
        subnet=layout.subnet,
        control=layout.control,
        router=layout.router,
        host=layout.host,
        public_url=layout.public_url,
        dsn=layout.dsn,
        nats_url=layout.nats_url,
        nats_credentials=credentials_file(layout),
        s3_url=layout.s3_url,
        s3_bucket=object_store.BUCKET,
        s3_ca=layout.etc / "ca.crt",
        s3_credentials=object_store.credentials_file(layout),
        # Not below .localhost: resolvers may answer 127.0.0.1 for all of that by themselves (RFC 6761).
        user_domain="db.ccx.internal" if layout.instance == "default" else f"{layout.instance}.db.ccx.internal",
    )


def with_changes(text: str, changes: Sequence[str]) -> str:
    """The same settings with ``dotted.name=value`` set, the value being YAML. Comments are lost by it.

    An entry of a list is named by its code: ``clouds.local.image=stock``.

    Raises :class:`ccx.errors.Invalid` for what is no such change; whether the settings know it shows when they load.
    """
    try:
        settings = yaml.safe_load(text)
    except yaml.YAMLError:
        raise Invalid("ccx.yaml is not YAML", field="--set", remedy="Correct it by hand first") from None
    for change in changes:
        name, equals, value = change.partition("=")
        *parents, last = name.split(".")
        if not equals or not all((*parents, last)):
            raise Invalid(f"{change!r} is no change", field="--set", remedy="Write auto_repair.delay=60")
        place = settings
        for parent in parents:
            place = _below(place, parent)
        if not isinstance(place, dict):
            raise Invalid(f"{name}: there is no such setting", field="--set", remedy="Look for it in ccx.yaml")
        try:
            place[last] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise Invalid(f"the value of {name} is not YAML", field="--set", remedy="Quote it as YAML does") from None
    return yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)


def _below(place: Any, name: str) -> Any:
    """What is called ``name`` in there; None where nothing can be."""
    if isinstance(place, list):
        return next((entry for entry in place if isinstance(entry, dict) and entry.get("code") == name), None)
    return place.setdefault(name, {}) if isinstance(place, dict) else None


def with_public_url(text: str, url: str) -> str:
    """The same settings, at another public URL; comments and order stay."""
    return re.sub(r"(?m)^public_url:.*$", f"public_url: {url}", text, count=1)
