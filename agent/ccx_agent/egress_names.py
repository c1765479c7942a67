"""Lets this node reach the declared hosts that are known by name: ``python3 -I egress_names.py FILE``.

Started by a timer. ``FILE`` lists names, each with the kernel's sets for its IPv4 and IPv6 addresses. To these it
adds the addresses that the node's own resolver gives now; earlier ones stay until the rules are loaded anew.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TABLE = "inet ccx_egress"


def addresses(host: str) -> dict[int, set[str]]:
    """By IP version; nothing for a name that is not found now."""
    found: dict[int, set[str]] = {4: set(), 6: set()}
    try:
        for family, *_, address in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM):
            if family in (socket.AF_INET, socket.AF_INET6):
                found[4 if family == socket.AF_INET else 6].add(str(address[0]).partition("%")[0])
    except OSError:
        pass
    return found


def commands(names: list[list[str]], found: list[dict[int, set[str]]]) -> str:
    """For ``nft -f``: what is to be added to which set."""
    return "".join(
        f"add element {TABLE} {name} {{ {', '.join(sorted(by_version[version]))} }}\n"
        for (_, *sets), by_version in zip(names, found, strict=True)
        for version, name in zip((4, 6), sets, strict=True)
        if by_version[version]
    )


def main(path: str) -> int:
    names: list[list[str]] = json.loads(Path(path).read_text())
    if not names:
        return 0
    with ThreadPoolExecutor(max_workers=min(16, len(names))) as pool:
        text = commands(names, list(pool.map(addresses, (host for host, *_ in names))))
    return subprocess.run(["/usr/sbin/nft", "-f", "-"], input=text, text=True, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
