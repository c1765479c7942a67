"""What would keep an instance from starting, found before anything is changed; one line each."""

from __future__ import annotations

import errno
import os
import pwd
import shutil
import sys
from ipaddress import IPv4Network
from pathlib import Path

from ccx.embedded import subnet
from ccx.embedded.layout import USER, Layout, remembered
from ccx.embedded.namespace import listening_socket
from ccx.embedded.record import already_running, running
from ccx.embedded.sandbox import closed_folder
from ccx.errors import CcxError, Conflict, Invalid

DEFAULT_LISTEN = "0.0.0.0:443"
_LEAST_FREE = 3 * 2**30
_TOOLS = ("ip", "nft")
_BOOTSTRAP = "Run script/bootstrap"


async def plan(instance: str, *, wanted_subnet: str | None, listen: str | None, resolve: bool | None) -> Layout:
    """The layout that the instance starts with: what it was installed with, but for what is asked otherwise now.

    Raises :class:`ccx.errors.CcxError` naming what is in the way.
    """
    _check_name(instance)
    _check_machine()
    before = remembered(instance)
    layout = Layout(
        instance,
        await _subnet(instance, wanted_subnet, before),
        listen or (before.listen if before else DEFAULT_LISTEN),
        resolve if resolve is not None else bool(before and before.resolve),
    )
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


def _check_name(instance: str) -> None:
    # Part of names of network devices (15 characters), cloud resources and DNS labels.
    if not (instance.isascii() and instance.replace("-", "").isalnum() and instance.islower() and len(instance) <= 16):
        raise Invalid(
            f"{instance!r} can't name an instance",
            field="--instance",
            remedy="Use up to 16 lower-case letters, digits and hyphens, at least one letter",
        )


def _check_machine() -> None:
    if os.getuid() != 0:
        raise CcxError("ccx up makes network namespaces and must be root", remedy=f"sudo {sys.argv[0]} up", status=403)
    if sys.platform != "linux" or not os.path.exists("/proc/self/ns/net"):
        raise CcxError("this kernel has no network namespaces", remedy="Use Debian 12 or 13, or Ubuntu 24.04")
    try:
        pwd.getpwnam(USER)
    except KeyError:
        raise CcxError(f"there is no system user {USER!r}", remedy=_BOOTSTRAP) from None
    for tool in _TOOLS:
        if shutil.which(tool) is None:
            raise CcxError(f"{tool} is not installed", remedy=_BOOTSTRAP)
    folder = Path("/var/lib")
    if (free := shutil.disk_usage(folder).free) < _LEAST_FREE:
        raise CcxError(
            f"{folder} has {free / 2**30:.1f} GiB left, {_LEAST_FREE >> 30} GiB are needed", remedy="Free some space"
        )
    _check_hidden_code()


def _check_hidden_code() -> None:
    """A checkout under a closed folder is shown to the control plane all the same; the root folder can't be."""
    if closed_folder(Path(sys.prefix) / "bin") == Path("/"):
        raise CcxError("user ccx can't enter /", remedy="Run chmod o+x /")


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
