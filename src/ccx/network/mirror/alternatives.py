"""The same mirror, by others: configuration for apt-cacher-ng, and for Nexus with nginx before it. Pure.

Both pass on what vendors sign: nodes trust the vendors' keys then, not one of ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from ccx.network.mirror.suites import Suite

_CACHER = """\
# apt-cacher-ng as the mirror of CCX's nodes: copy to /etc/apt-cacher-ng/ccx.conf, and restart it.
# Then, in the settings: mirror.packages: http://<this host>:3142, and as mirror.key the keys of the vendors.
# Nothing but this is served.
ForceManaged: 1
"""
_NGINX = """\
# nginx before Nexus: the vendors' own paths, which mirror.packages expects; Nexus has a flat list of repositories.
# Copy to /etc/nginx/conf.d/ccx-mirror.conf, and set nexus' address. Nexus must let anonymous users read.
# Then, in the settings: mirror.packages: http://<this host>, and as mirror.key the keys of the vendors.
upstream ccx_nexus { server 127.0.0.1:8081; }
server {
    listen 80;
    proxy_set_header Host $http_host;
"""


def apt_cacher_ng(suites: Sequence[Suite]) -> str:
    """For ``/etc/apt-cacher-ng/ccx.conf``: each vendor's path, and where it is cached from."""
    lines = [_CACHER]
    for path, origins in _by_path(suites).items():
        lines.append(f"Remap-ccx-{_name(path)}: {path} ; {' '.join(f'{origin}/' for origin in origins)}\n")
    return "".join(lines)


def nexus(suites: Sequence[Suite]) -> str:
    """Bodies for ``POST /service/rest/v1/repositories/apt/proxy``, a JSON list: one repository for each suite.

    Ages are minutes. A package never changes under its name; a suite's index is asked for again after an hour, for a
    repository without ``by-hash`` is broken for as long as index and packages' list are of different days.
    """
    return json.dumps([_proxy(suite) for suite in suites], indent=2) + "\n"


def nexus_nginx(suites: Sequence[Suite]) -> str:
    """nginx's part: every suite's index, and every package, from the repository that has it."""
    lines = [_NGINX]
    by_path: dict[str, list[Suite]] = {}
    for suite in suites:
        by_path.setdefault(suite.path, []).append(suite)
    for path, of in by_path.items():
        for suite in of:
            there = f"http://ccx_nexus/repository/{_repository(suite)}/"
            lines.append(f"    location {path}/dists/{suite.suite}/ {{ proxy_pass {there}dists/{suite.suite}/; }}\n")
        # Any of them fetches a package by its path: they are proxies of hosts that have the same packages.
        lines.append(f"    location {path}/ {{ proxy_pass http://ccx_nexus/repository/{_repository(of[0])}/; }}\n")
    return "".join([*lines, "}\n"])


def _by_path(suites: Iterable[Suite]) -> dict[str, list[str]]:
    """Longest first: one may lie below another."""
    found: dict[str, list[str]] = {}
    for suite in suites:
        origins = found.setdefault(suite.path, [])
        if suite.url not in origins:
            origins.append(suite.url)
    return dict(sorted(found.items(), key=lambda item: (-item[0].count("/"), item[0])))


def _proxy(suite: Suite) -> dict[str, Any]:
    return {
        "name": _repository(suite),
        "online": True,
        "storage": {"blobStoreName": "default", "strictContentTypeValidation": True},
        "proxy": {"remoteUrl": f"{suite.url}/", "contentMaxAge": -1, "metadataMaxAge": 60},
        "negativeCache": {"enabled": True, "timeToLive": 60},
        "httpClient": {"blocked": False, "autoBlock": True},
        "apt": {"distribution": suite.suite, "flat": False},
    }


def _repository(suite: Suite) -> str:
    return f"ccx-{_name(suite.name)}"


def _name(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
