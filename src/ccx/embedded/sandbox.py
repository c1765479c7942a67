"""Runs a program as user ``ccx``, inside the instance's network namespace, seeing only its own instance's files."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import signal
import stat
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import ccx
from ccx.embedded.layout import USER, Layout

_ENTER = Path(__file__).with_name("enter.py")
# Other instances' files, and homes: the same idea as systemd's ProtectHome=tmpfs with BindReadOnlyPaths.
_HIDDEN = ("/root", "/home", "/etc/ccx", "/var/lib/ccx", "/run/ccx")


def code_paths() -> list[Path]:
    """What Python needs in order to run us: interpreter, environment, and the source where it is installed by path."""
    source = Path(ccx.__file__).resolve().parent.parent
    wanted = [Path(sys.base_prefix).resolve(), Path(sys.prefix).absolute(), source, source.parent / "agent"]
    return [path for path in wanted if path.exists() and path != Path("/usr")]


def closed_folder(path: Path) -> Path | None:
    """The topmost folder on the way to ``path`` that others than its owner can't walk through; None if all are open."""
    for folder in reversed(path.parents):
        if not stat.S_IMODE(folder.stat().st_mode) & stat.S_IXOTH:
            return folder
    return None


class Sandbox:
    """Starts confined children of this process. They die with it: each gets its ``death_signal`` from the kernel."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        user = pwd.getpwnam(USER)
        self.uid, self.gid = user.pw_uid, user.pw_gid

    async def start(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        death_signal: signal.Signals = signal.SIGKILL,
        environment: Mapping[str, str] | None = None,
        sockets: Sequence[int] = (),
    ) -> asyncio.subprocess.Process:
        """Starts ``argv`` (absolute program first). Its output is appended to ``log``; ``sockets`` keep their numbers.

        Must be called from the main thread: the kernel's signal follows the thread that forked.
        """
        specification = self._specification(argv, death_signal, environment or {})
        with log.open("ab") as output:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-S",
                str(_ENTER),
                json.dumps(specification),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=tuple(sockets),
                start_new_session=True,
            )

    async def run(self, argv: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None) -> int:
        """Runs ``argv`` to its end and returns its exit code."""
        process = await self.start(argv, log=log, environment=environment)
        return await process.wait()

    def _specification(
        self, argv: Sequence[str], death_signal: signal.Signals, environment: Mapping[str, str]
    ) -> dict[str, object]:
        layout = self.layout
        code = code_paths()
        closed = {str(folder) for path in code if (folder := closed_folder(path))}
        hidden = _outermost({folder for folder in _HIDDEN if os.path.isdir(folder)} | closed)
        own = [folder for folder in (layout.etc, layout.var, layout.run) if folder.exists()]
        overlays = {layout.run / "resolv.conf": "/etc/resolv.conf", layout.hosts_file: "/etc/hosts"}
        return {
            "argv": list(argv),
            "environment": {
                "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "LANG": "C.UTF-8",
                "HOME": str(layout.var),
                "PYTHONDONTWRITEBYTECODE": "1",
                **environment,
            },
            "network": str(layout.namespace_file),
            "uid": self.uid,
            "gid": self.gid,
            "parent": os.getpid(),
            "death_signal": int(death_signal),
            "folder": str(layout.var),
            "hidden": hidden,
            "visible": [[str(path), False] for path in code] + [[str(path), True] for path in own],
            "overlaid": [
                [str(ours), os.path.realpath(system)]
                for ours, system in overlays.items()
                if ours.exists() and os.path.exists(system)
            ],
            "forgotten": ["/run/netns", "/run/ccx", str(layout.var / "cloud")],
        }


def _outermost(folders: set[str]) -> list[str]:
    """Without those that lie in another one."""
    return sorted(f for f in folders if not any(f.startswith(other + "/") for other in folders))
