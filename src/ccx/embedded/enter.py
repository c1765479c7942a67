"""Turns itself into a confined process of the control plane, then into the program it was told to run.

A script of its own, standard library only, run as ``python -I -S enter.py SPEC``: it joins the instance's network
namespace, makes a mount namespace in which only what the program needs can be seen, drops to the user ``ccx`` for good,
asks the kernel for a signal when the supervisor dies, and calls ``execve``. ``SPEC`` is JSON and holds no secret;
:mod:`ccx.embedded.sandbox` writes it.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from typing import Any

_CLONE_NEWNS, _CLONE_NEWNET = 0x00020000, 0x40000000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
_MNT_DETACH = 2
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_TMP = "/tmp"  # noqa: S108 - a mount point

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    _check(
        _libc.mount(
            source.encode(),
            target.encode(),
            kind.encode() if kind else None,
            ctypes.c_ulong(flags),
            data.encode() if data else None,
        ),
        f"mount {target}",
    )


def _forget_mounts_below(roots: list[str]) -> None:
    """Lets go of the nodes' volumes and of namespaces: a mount copied to here could not be freed by the host."""
    with open("/proc/self/mountinfo") as file:
        points = [line.split()[4].encode().decode("unicode_escape") for line in file]
    for point in reversed(points):
        if any(point.startswith(root.rstrip("/") + "/") for root in roots):
            _libc.umount2(point.encode(), _MNT_DETACH)


def _bind(source: int, target: str, *, writable: bool) -> None:
    """Shows what the descriptor ``source`` stands for at ``target``, which is made where it is missing."""
    path = f"/proc/self/fd/{source}"
    if os.path.isdir(path):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    _mount(path, target, None, _MS_BIND | _MS_REC)
    if not writable:
        _mount("none", target, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)


def _narrow_the_view(spec: dict[str, Any]) -> None:
    """Hides ``spec["hidden"]`` behind empty read-only folders, but for what ``spec["visible"]`` names inside them."""
    _check(_libc.unshare(_CLONE_NEWNS), "unshare")
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    _forget_mounts_below(spec["forgotten"])
    opened = [(os.open(path, os.O_PATH | os.O_CLOEXEC), path, writable) for path, writable in spec["visible"]]
    overlaid = [(os.open(source, os.O_PATH | os.O_CLOEXEC), target) for source, target in spec["overlaid"]]
    # Its own, as systemd's PrivateTmp: some programs have sockets there, of fixed names.
    _mount("none", _TMP, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=1777,size=16m")
    hidden = [folder for folder in spec["hidden"] if not folder.startswith(_TMP + "/")]
    for folder in hidden:
        _mount("none", folder, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=0755,size=64k")
    for source, target, writable in opened:
        if any(target.startswith(folder + "/") for folder in (*hidden, _TMP)):
            _bind(source, target, writable=writable)
    for folder in hidden:
        _mount("none", folder, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)
    for source, target in overlaid:
        _bind(source, target, writable=False)
    for source, *_ in [*opened, *overlaid]:
        os.close(source)


def _drop_privileges(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def _die_with(parent: int, signal: int) -> None:
    """Changing the user id clears this, so it comes after; the parent may have died in between."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal, 0, 0, 0), "pdeathsig")
    if os.getppid() != parent:
        sys.exit("the supervisor is gone")


def main(spec: dict[str, Any]) -> None:
    """Does not return: becomes ``spec["argv"]``."""
    os.umask(0o022)  # the folders made on the way to what is visible must be open
    network = os.open(spec["network"], os.O_RDONLY | os.O_CLOEXEC)
    _check(_libc.setns(network, _CLONE_NEWNET), f"setns {spec['network']}")
    _narrow_the_view(spec)
    os.umask(0o027)
    os.chdir(spec["folder"])
    _drop_privileges(spec["uid"], spec["gid"])
    _die_with(spec["parent"], spec["death_signal"])
    os.execve(spec["argv"][0], spec["argv"], spec["environment"])  # noqa: S606 - the point of this script


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except OSError as error:
        sys.exit(f"can't confine {json.loads(sys.argv[1])['argv'][0]}: {error}")
