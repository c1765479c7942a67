"""What would keep an instance from starting, found before anything is changed; one line each."""

from __future__ import annotations

import asyncio
import errno
import os
import pwd
import re
import sys
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

from ccx.clouds.local.locks import one_at_a_time
from ccx.embedded import host_names, subnet
from ccx.embedded.bundle import RECOVERING
from ccx.embedded.layout import ROOT, USER, Layout, remembered
from ccx.embedded.namespace import listening_socket
from ccx.embedded.record import already_running, running
from ccx.errors import CcxError, Conflict, Invalid

DEFAULT_LISTEN = "0.0.0.0:443"
_BOOTSTRAP = "Run script/bootstrap"
_SHARED = ("images", "mirror", "packages")
_CHOOSING = Path("/run/ccx")


def claim(instance: str, *, wanted_subnet: str | None, listen: str | None, resolve: bool | None) -> Layout:
    """As :func:`plan`; a new instance's layout is written down, so that no other start chooses the same subnet. Blocks.

    Nothing is changed where something is in the way.
    """
    layout = asyncio.run(plan(instance, wanted_subnet=wanted_subnet, listen=listen, resolve=resolve))
    if remembered(instance) is None:
        with one_at_a_time(_CHOOSING):
            # Another start may have chosen this one since.
            chosen = asyncio.run(_subnet(instance, wanted_subnet, remembered(instance)))
            layout = replace(layout, subnet=chosen)
            layout.save()
    return layout


async def plan(instance: str, *, wanted_subnet: str | None, listen: str | None, resolve: bool | None) -> Layout:
    """The layout that the instance starts with: what it was installed with, but for what is asked otherwise now.

    Raises :class:`ccx.errors.CcxError` naming what is in the way.
    """
    check_name(instance)
    check_machine()
    before = remembered(instance)
    if (ROOT / instance / RECOVERING).exists():
        raise Conflict(
            f"a recovery of instance {instance!r} was broken off",
            remedy=f"Run it again: ccx recover --instance {instance}",
        )
    layout = Layout(
        instance,
        await _subnet(instance, wanted_subnet, before),
        listen or (before.listen if before else DEFAULT_LISTEN),
        resolve if resolve is not None else bool(before and before.resolve),
    )
    if layout.resolve and (unresolvable := host_names.problem()) is not None:
        raise unresolvable
    if running(layout.run):
        raise already_running(layout.run)
    _check_listen(layout)
    return layout


async def _subnet(instance: str, wanted: str | None, before: Layout | None) -> IPv4Network:
    if before is not None:
        if wanted is not None and subnet.parse(wanted) != before.subnet:
            raise Conflict(
                f"instance {instance!r} was installed with {before.subnet}; its nodes have addresses in it",
                field="--subnet",
                remedy=f"Leave --subnet out, or remove everything first: ccx down --purge --instance {instance}",
            )
        return before.subnet
    taken = await subnet.taken(instance)
    if wanted is None:
        return subnet.choose(taken)
    subnet.refuse_overlap(given := subnet.parse(wanted), taken)
    return given


def check_name(instance: str) -> None:
    # Part of the names of cloud resources and DNS labels; "…-cloud" is the namespace of another instance's router.
    if re.fullmatch(r"[a-z][a-z0-9-]{0,15}", instance) is None or instance.endswith(("-", "-cloud")):
        raise Invalid(
            f"{instance!r} can't name an instance",
            field="--instance",
            remedy="Use a letter and up to 15 more lower-case letters, digits and hyphens; not -cloud at the end",
        )
    if instance in _SHARED:
        raise Invalid(
            f"{instance!r} can't name an instance: /var/lib/ccx/{instance} is all instances'", field="--instance",
            remedy="Take another name",
        )  # fmt: skip


def check_machine() -> None:
    if os.getuid() != 0:
        raise CcxError("ccx up makes network namespaces and must be root", remedy=f"sudo {sys.argv[0]} up", status=403)
    if sys.platform != "linux" or not os.path.exists("/proc/self/ns/net"):
        raise CcxError("this kernel has no network namespaces", remedy="Use Debian 12 or 13, or Ubuntu 24.04")
    try:
        pwd.getpwnam(USER)
    except KeyError:
        raise CcxError(f"there is no system user {USER!r}", remedy=_BOOTSTRAP) from None
    from ccx.clouds.local.preflight import problems

    if found := problems():
        raise found[0]


def _check_listen(layout: Layout) -> None:
    try:
        address = layout.listen_address
    except ValueError:
        raise Invalid(
            f"{layout.listen!r} is no address and port", field="--listen", remedy="Write 0.0.0.0:443 or 127.0.0.1:8443"
        ) from None
    try:
        listening_socket(address).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Conflict(
                f"{layout.listen} is in use",
                field="--listen",
                remedy="Stop what listens there (ss -ltnp), or give another one: --listen 127.0.0.1:8443",
            ) from None
        raise Invalid(
            f"can't listen on {layout.listen}: {error.strerror or error}",
            field="--listen",
            remedy="Give an address of this machine and a free port",
        ) from None
