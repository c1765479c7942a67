"""``ccx network probe`` within real networks: a resolver, packets that are dropped, a middlebox, a proxy."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.machine import CCX, eventually, run
from tests.probe_servers import leaf, new_ca

_ROOT = Path(__file__).parents[2]
INSIDE, OUTSIDE, THERE = f"probe-in-{os.getpid()}", f"probe-out-{os.getpid()}", "198.51.100.2"
_ADDRESSES = {
    "apt.postgresql.org": "198.51.100.10",
    "packages.fluentbit.io": "198.51.100.11",
    "europe-apt.pkg.dev": "198.51.100.12",
    "www.postgresql.org": "198.51.100.13",
    "eu-west-1.ec2.archive.ubuntu.com": "198.51.100.14",
    "archive.ubuntu.com": "198.51.100.15",
    "security.ubuntu.com": "198.51.100.16",
}
_VALUES = """
ccxFQDN: ccx.example
cmon: {license: bGljZW5jZQ==}
ccx:
  userDomain: db.example
  cloudSecrets: [aws]
  config:
    clouds: [{code: aws, regions: [{code: eu-west-1}]}]
    databases: [{code: postgres, versions: ["17"]}]
"""


@dataclass
class Net:
    """Two namespaces: where the probe runs, and a world with servers in it."""

    folder: Path
    processes: AsyncExitStack

    async def start(self, *argv: str | Path, stdin: bytes | None = None) -> asyncio.subprocess.Process:
        """A program in the world; it ends with the test."""
        process = await asyncio.create_subprocess_exec(
            "ip", "netns", "exec", OUTSIDE, *map(str, argv), cwd=_ROOT, stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip

        async def stop() -> None:
            if process.returncode is None:
                process.terminate()
            await process.wait()

        self.processes.push_async_callback(stop)
        if stdin is not None:
            assert process.stdin is not None
            process.stdin.write(stdin)
            await process.stdin.drain()
        return process

    async def probe(self, *words: str, values: str = _VALUES, **env: str) -> tuple[int, dict[str, dict[str, Any]], str]:
        """Exit code, outcomes by ``id`` (of the row's own host), and standard error."""
        file = self.folder / "values.yaml"
        file.write_text(values)
        done = await run(
            "ip", "netns", "exec", INSIDE, CCX, "network", "probe", "--values", file, "--plane", "data", "-o", "json",
            *words, check=False, env={"SSL_CERT_FILE": str(self.folder / "public.pem"), **env},
        )  # fmt: skip
        assert done.stdout, done.stderr
        return done.returncode, {o["id"]: o for o in json.loads(done.stdout)["outcomes"]}, done.stderr


@pytest.fixture(scope="module")
async def net(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Net]:
    resolvers = [Path("/etc/netns") / space for space in (INSIDE, OUTSIDE)]
    async with AsyncExitStack() as processes:
        made = Net(tmp_path_factory.mktemp("net"), processes)
        try:
            await _make_networks()
            for folder in resolvers:
                folder.mkdir(parents=True)
                (folder / "resolv.conf").write_text(f"nameserver {THERE}\noptions timeout:1 attempts:2\n")
            await _start_servers(made)
            yield made
        finally:
            await processes.aclose()
            for space in (INSIDE, OUTSIDE):
                await run("ip", "netns", "delete", space, check=False)
            for folder in resolvers:
                shutil.rmtree(folder, ignore_errors=True)


async def _make_networks() -> None:
    for space in (INSIDE, OUTSIDE):
        await run("ip", "netns", "add", space)
        await run("ip", "-n", space, "link", "set", "lo", "up")
    await run("ip", "-n", INSIDE, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", OUTSIDE)
    await run("ip", "-n", INSIDE, "address", "add", "198.51.100.1/24", "dev", "eth0")
    for address in (THERE, *_ADDRESSES.values()):
        await run("ip", "-n", OUTSIDE, "address", "add", f"{address}/24", "dev", "eth0")
    for space in (INSIDE, OUTSIDE):
        await run("ip", "-n", space, "link", "set", "eth0", "up")
    await net_rules(
        "world", f"ip daddr {_ADDRESSES['archive.ubuntu.com']} drop",
        f"ip daddr {_ADDRESSES['security.ubuntu.com']} reject with icmp admin-prohibited",
    )  # fmt: skip


async def net_rules(table: str, *rules: str) -> None:
    """What the world lets in no more. No rules: it lets it in again."""
    chain = "type filter hook input priority filter; policy accept;"
    text = f"table inet {table} {{ chain input {{ {chain} {' '.join(f'{rule};' for rule in rules)} }}; }}"
    await run("ip", "netns", "exec", OUTSIDE, "nft", text if rules else f"delete table inet {table}")


async def _start_servers(net: Net) -> None:
    public, middlebox = new_ca("Public CA"), new_ca("Corporate Inspection CA")
    (net.folder / "public.pem").write_text(public.pem)
    certificates = {
        "packages.fluentbit.io": leaf(net.folder, public, "packages.fluentbit.io", days=(-1, 10)),
        "europe-apt.pkg.dev": leaf(net.folder, middlebox, "europe-apt.pkg.dev"),
        "www.postgresql.org": leaf(net.folder, public, "www.postgresql.org", days=(-90, -2)),
    }
    listening = [[_ADDRESSES[host], 443, str(file)] for host, file in certificates.items()]
    listening += [[_ADDRESSES[host], 80, None] for host in ("apt.postgresql.org", "archive.ubuntu.com")]
    python = _ROOT / ".venv/bin/python"
    servers = await net.start(python, "-m", "tests.probe_servers", stdin=json.dumps(listening).encode() + b"\n")
    assert servers.stdout is not None
    assert await servers.stdout.readline() == b"ready\n"
    names = [f"--address=/{host}/{address}" for host, address in _ADDRESSES.items()]
    await net.start(
        "dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--pid-file=",
        "--bind-interfaces", f"--listen-address={THERE}", "--local=/ubuntu.com/", *names,
    )  # fmt: skip

    async def resolves() -> bool:
        asked = ("ip", "netns", "exec", INSIDE, "getent", "ahosts", "apt.postgresql.org")
        return (await run(*asked, check=False)).returncode == 0

    await eventually(resolves, within=10, what="dnsmasq answers")


async def test_each_row_is_told_with_what_is_wrong_with_it(net: Net) -> None:
    code, found, err = await net.probe("--planned")

    assert code == 1
    assert found["packages.postgresql"]["result"] == "ok"
    assert found["packages.postgresql"]["http_status"] == 200
    assert found["packages.postgresql"]["addresses"] == [_ADDRESSES["apt.postgresql.org"]]
    assert found["packages.fluentbit"]["result"] == "ok"
    assert found["packages.fluentbit"]["certificate"]["root"] == "Public CA (Example)"
    assert "expires in 9 days" in found["packages.fluentbit"]["why"]
    inspected = found["packages.s9s"]
    assert (inspected["stage"], inspected["code"]) == ("tls", "untrusted")
    assert "inspecting proxy (middlebox)" in inspected["why"]
    assert "Corporate Inspection CA" in inspected["why"]
    expired = found["packages.key-postgresql"]
    assert (expired["code"], expired["certificate"]["days"] < 0) == ("expired", True)
    dropped = found["packages.ubuntu"]
    assert (dropped["stage"], dropped["code"]) == ("tcp", "timeout")
    assert dropped["rule"] == "allow TCP 80 from the datastores' nodes to archive.ubuntu.com"
    assert 4.5 < dropped["seconds"]["tcp"] < 6
    assert found["packages.ubuntu-security"]["code"] == "unreachable"
    assert found["packages.ubuntu-ec2"]["code"] == "refused"
    assert found["node.ntp"]["code"] == "no-such-name"
    assert found["postgres.peers.replication"]["result"] == "not probed"
    assert f"rule to add:  {dropped['rule']}\n" in err
    assert dropped["when_blocked"] in err


async def test_a_resolver_that_does_not_answer_is_told_from_a_name_that_is_none(net: Net) -> None:
    await net_rules("silent", "udp dport 53 drop")
    try:
        code, found, _ = await net.probe("--only", "packages.postgresql")
    finally:
        await net_rules("silent")
    assert code == 1
    assert found["packages.postgresql"]["stage"] == "dns"
    assert found["packages.postgresql"]["code"] in ("dns-timeout", "dns-failed")
    assert "resolver" in found["packages.postgresql"]["why"]


async def test_by_a_proxy_what_it_refuses_is_told_from_what_works_and_its_password_is_in_no_output(net: Net) -> None:
    refused = net.folder / "refused"
    refused.write_text("^europe-apt\\.pkg\\.dev\n")
    config = net.folder / "tinyproxy.conf"
    config.write_text(
        f'Port 3128\nListen {THERE}\nTimeout 20\nBasicAuth ccx hunter2\nConnectPort 443\nMaxClients 50\n'
        f'Filter "{refused}"\nFilterExtended On\nAllow 198.51.100.1\n'
    )  # fmt: skip
    proxy = await net.start("tinyproxy", "-d", "-c", config)

    async def listens() -> bool:
        assert proxy.returncode is None
        return "3128" in (await run("ip", "netns", "exec", OUTSIDE, "ss", "-Hltn")).stdout

    await eventually(listens, within=10, what="tinyproxy listens")
    only = [word for row in ("postgresql", "fluentbit", "s9s") for word in ("--only", f"packages.{row}")]
    by_proxy = f"{_VALUES}  egressProxy: http://{THERE}:3128\n"
    await net_rules("closed", f"ip saddr 198.51.100.1 ip daddr != {THERE} drop")  # the proxy is the only way
    try:
        right = {"CCX_EGRESS_PROXY": f"http://ccx:hunter2@{THERE}:3128"}
        code, found, err = await net.probe("--planned", *only, values=by_proxy, **right)
        wrong, denied, _ = await net.probe("--planned", *only, values=by_proxy)
    finally:
        await net_rules("closed")

    assert code == wrong == 1
    assert found["packages.postgresql"]["result"] == "ok", found["packages.postgresql"]["why"]
    assert found["packages.fluentbit"]["result"] == "ok", found["packages.fluentbit"]["why"]
    blocked = found["packages.s9s"]
    assert (blocked["stage"], blocked["code"], blocked["via"]) == ("proxy", "proxy-refused", f"{THERE}:3128")
    assert blocked["remedy"] == f"On the proxy {THERE}:3128, allow europe-apt.pkg.dev:443"
    assert {outcome["code"] for outcome in denied.values()} == {"proxy-auth"}
    assert "hunter2" not in json.dumps(found) + err
