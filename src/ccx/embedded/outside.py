"""The control plane's way out of this machine, where its plan has destinations there.

A link of its own from the namespace to the host, which forwards what comes from the namespace's address and hides it
behind its own. *What* may leave is decided in the namespace, by the plan's rules. Nobody else is let through: where
this machine did not forward before, a guard drops all forwarding but ours for as long as we need it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

from ccx.clouds.local.locks import one_at_a_time
from ccx.clouds.local.place import OUTSIDE_LINKS
from ccx.embedded.layout import Layout
from ccx.embedded.shell import ToolFailed, run
from ccx.errors import CcxError

_INSIDE_LINK = "out0"
_GUARD = "ccx_out_guard"
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_EVERYBODYS = Path("/run/ccx")


async def ensure(layout: Layout) -> None:
    """Makes the way out. Repeatable. Raises :class:`ccx.errors.CcxError` where this machine can't forward."""
    async with _turn():
        await _link(layout)
        try:
            await run("nft", "-f", "-", stdin=rules(layout))
        except ToolFailed as error:
            raise CcxError(
                f"this machine can't translate addresses: {error.err}",
                field="dsn, nats_url",
                remedy="Use a kernel with nf_tables NAT (nft_masq), or the embedded database and NATS",
            ) from None
        await _forward()


async def remove(layout: Layout) -> None:
    """Removes it. Forwarding that we began stops with the last way out. Succeeds where there is nothing."""
    async with _turn():
        with suppress(ToolFailed):
            await run("ip", "link", "delete", layout.outside_link)
        tables = await _tables()
        if _table(layout) in tables:
            await run("nft", "delete", "table", "ip", _table(layout))
        if _GUARD in tables and not tables - {_table(layout), _GUARD}:
            await asyncio.to_thread(_FORWARDING.write_text, "0")
            await run("nft", "delete", "table", "ip", _GUARD)


@asynccontextmanager
async def _turn() -> AsyncIterator[None]:
    """Forwarding is all instances': one that stops must not take it from one that starts at the same moment."""
    with ExitStack() as stack:
        await asyncio.to_thread(stack.enter_context, one_at_a_time(_EVERYBODYS))
        yield


def rules(layout: Layout) -> str:
    """The host's table for this instance, replacing an earlier one at once."""
    table, link, inside = _table(layout), layout.outside_link, layout.outside
    return f"""\
table ip {table}
delete table ip {table}
table ip {table} {{
  chain source {{
    type nat hook postrouting priority srcnat;
    ip saddr {inside} oifname != "{link}" masquerade
  }}
  chain forward {{
    type filter hook forward priority filter;
    iifname "{link}" ip saddr != {inside} drop
    iifname "{OUTSIDE_LINKS}*" oifname "{OUTSIDE_LINKS}*" drop
    oifname "{link}" ct state != {{ established, related }} drop
  }}
}}
"""


def guard() -> str:
    """The table that lets this machine forward for our links only."""
    return f"""\
table ip {_GUARD}
delete table ip {_GUARD}
table ip {_GUARD} {{
  chain forward {{
    type filter hook forward priority filter;
    iifname != "{OUTSIDE_LINKS}*" oifname != "{OUTSIDE_LINKS}*" drop
  }}
}}
"""


async def _link(layout: Layout) -> None:
    space, link = layout.namespace, layout.outside_link
    if not (link in await _links() and _INSIDE_LINK in await _links("-n", space)):
        for where in ((link,), ("-n", space, _INSIDE_LINK)):
            with suppress(ToolFailed):  # half of it may be there
                await run("ip", *where[:-1], "link", "delete", where[-1])
        await run("ip", "link", "add", link, "type", "veth", "peer", "name", _INSIDE_LINK, "netns", space)
    alias = f"ccx-instance-{layout.instance}"
    await run("ip", "link", "set", link, "alias", alias, "up")
    await run("ip", "addr", "replace", f"{layout.outside_host}/32", "dev", link)
    await run("ip", "route", "replace", f"{layout.outside}/32", "dev", link)
    for words in (
        f"link set {_INSIDE_LINK} up",
        f"addr replace {layout.outside}/32 dev {_INSIDE_LINK}",
        f"route replace default via {layout.outside_host} dev {_INSIDE_LINK} onlink src {layout.outside}",
    ):
        await run("ip", "-n", space, *words.split())


async def _links(*where: str) -> set[str]:
    return {link["ifname"] for link in json.loads(await run("ip", *where, "-j", "link"))}


async def _forward() -> None:
    """Guard first: at no moment is the door open to others."""
    if (await asyncio.to_thread(_FORWARDING.read_text)).strip() == "1":
        return
    await run("nft", "-f", "-", stdin=guard())
    try:
        await asyncio.to_thread(_FORWARDING.write_text, "1")
    except OSError as error:
        await run("nft", "delete", "table", "ip", _GUARD)
        raise CcxError(
            f"this machine does not let us forward: {_FORWARDING}: {error.strerror}",
            field="dsn, nats_url",
            remedy="Run sysctl -w net.ipv4.ip_forward=1 where it may be set, or use the embedded database and NATS",
        ) from None


async def _tables() -> set[str]:
    listed = json.loads(await run("nft", "-j", "list", "tables", "ip"))["nftables"]
    names = {entry["table"]["name"] for entry in listed if "table" in entry}
    return {name for name in names if name.startswith("ccx_out_")}


def _table(layout: Layout) -> str:
    return f"ccx_out_{layout.outside_link.removeprefix(OUTSIDE_LINKS)}"
