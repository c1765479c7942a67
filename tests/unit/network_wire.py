"""Run as a script in a fresh network namespace: loads the ruleset on standard input, and tries ports on a second one.

A wire (veth) leads to a second namespace that listens on every port in the arguments. Prints JSON: for each port what
became of a connection and after how many seconds, and how many packets the ruleset counted as refused. With
``--as-unit``, tries them from a unit's control group, and prints what the kernel saw.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
import sys
import time

NEAR, FAR = "10.224.1.2", "10.224.1.1"
CLONE_NEWNET = 0x40000000


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def far_end(ports: list[int], ready: int, go: int) -> None:
    """Listens in a namespace of its own until ``go`` is closed."""
    if ctypes.CDLL(None).unshare(CLONE_NEWNET) != 0:
        sys.exit("unshare failed")
    os.write(ready, b".")
    os.read(go, 1)
    ip("addr", "add", f"{FAR}/24", "dev", "far")
    ip("link", "set", "far", "up")
    listening = [socket.create_server((FAR, port)) for port in ports]
    os.write(ready, b".")
    os.read(go, 1)
    del listening


def attempt(port: int) -> tuple[str, float]:
    begun = time.monotonic()
    try:
        socket.create_connection((FAR, port), timeout=10).close()
    except OSError as error:
        return type(error).__name__, time.monotonic() - begun
    return "connected", time.monotonic() - begun


def as_unit(ports: list[int]) -> str:
    """Tries the ports from a control group such as systemd makes for a unit; what the kernel saw, as nft lists it."""
    root = next(r for r in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup") if os.path.exists(f"{r}/cgroup.procs"))
    with open("/proc/self/cgroup") as file:
        before = root + next(line[3:].strip() for line in file if line.startswith("0::"))
    group = f"{root}/ccxwire{os.getpid()}.slice"
    os.makedirs(f"{group}/wire.service")
    try:
        enter(f"{group}/wire.service")
        for port in ports:
            attempt(port)
        return subprocess.check_output(["nft", "-j", "list", "table", "inet", "ccx_observed"], text=True)
    finally:
        enter(before)
        os.rmdir(f"{group}/wire.service")
        os.rmdir(group)


def enter(group: str) -> None:
    with open(f"{group}/cgroup.procs", "w") as file:
        file.write(str(os.getpid()))


def main(ports: list[int], *, unit: bool) -> None:
    is_ready, ready = os.pipe()
    go, say_go = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(say_go)
        far_end(ports, ready, go)
        os._exit(0)
    os.read(is_ready, 1)
    ip("link", "set", "lo", "up")
    ip("link", "add", "near", "type", "veth", "peer", "name", "far", "netns", str(child))
    ip("addr", "add", f"{NEAR}/24", "dev", "near")
    ip("link", "set", "near", "up")
    os.write(say_go, b".")
    os.read(is_ready, 1)
    subprocess.run(["nft", "-f", "-"], input=sys.stdin.read(), text=True, check=True)
    if unit:
        print(json.dumps({"observed": as_unit(ports)}))
        os.close(say_go)
        os.waitpid(child, 0)
        return
    tried = {port: attempt(port) for port in ports}
    counters = json.loads(subprocess.check_output(["nft", "-j", "list", "counters"]))["nftables"]
    refused = next(entry["counter"]["packets"] for entry in counters if "counter" in entry)
    os.close(say_go)
    os.waitpid(child, 0)
    print(json.dumps({"tried": tried, "refused": refused}))


if __name__ == "__main__":
    main([int(port) for port in sys.argv[1:] if port.isdigit()], unit="--as-unit" in sys.argv)
