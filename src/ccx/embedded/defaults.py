"""The ``ccx.yaml`` that a new instance on one machine begins with. The operator's own from then on."""

from __future__ import annotations

import re

from ccx.embedded.layout import NATS_PORT, Layout
from ccx.embedded.nats import credentials_file

_TEMPLATE = """\
# The installation's settings. After a change: ccx down --instance {instance}; ccx up --instance {instance}
# Its addresses on this machine are written by "ccx up"; leave them.
node_network: {subnet}
control_address: {control}
resolver_address: {router}
public_url: {public_url}
dsn: {dsn}
nats_url: nats://127.0.0.1:{nats_port}
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
      - {{code: ssd, name: SSD, min: 10, max: 1000, default: 80}}
"""


def settings_text(layout: Layout) -> str:
    """The first ``ccx.yaml`` of an instance."""
    return _TEMPLATE.format(
        instance=layout.instance,
        subnet=layout.subnet,
        control=layout.control,
        router=layout.router,
        public_url=layout.public_url,
        dsn=layout.dsn,
        nats_port=NATS_PORT,
        nats_credentials=credentials_file(layout),
        user_domain="db.ccx.localhost" if layout.instance == "default" else f"{layout.instance}.db.ccx.localhost",
    )


def with_public_url(text: str, url: str) -> str:
    """The same settings, at another public URL; comments and order stay."""
    return re.sub(r"(?m)^public_url:.*$", f"public_url: {url}", text, count=1)
