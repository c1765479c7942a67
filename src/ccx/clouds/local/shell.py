"""Runs the system's own tools, with a time limit, without holding up the loop."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

from ccx.clouds.base import Unavailable

_LIMIT_S = 20.0
SEARCH_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
"""Where tools are found; a root shell's own path may lack the folders of system tools."""

NAMESPACES = Path("/run/netns")


class ToolFailed(Unavailable):
    """A system tool refused; the text holds what it said."""


async def run(*argv: str, stdin: str | None = None, limit: float = _LIMIT_S) -> str:
    """The tool's output. Raises :class:`ToolFailed` with its complaint, also when it is not done within ``limit`` s."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PATH": SEARCH_PATH, "LC_ALL": "C.UTF-8"},
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(None if stdin is None else stdin.encode()), limit)
    except TimeoutError:
        raise ToolFailed(f"{' '.join(argv)}: not done within {limit:.0f} s") from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
    if process.returncode:
        complaint = " ".join(err.decode(errors="replace").split()) or f"exit code {process.returncode}"
        raise ToolFailed(f"{' '.join(argv)}: {complaint}")
    return out.decode(errors="replace")


async def inside(namespace: str, *argv: str, stdin: str | None = None) -> str:
    """:func:`run` in a network namespace."""
    return await run("nsenter", f"--net={NAMESPACES / namespace}", "--", *argv, stdin=stdin)


async def ip(*lines: str, namespace: str | None = None) -> None:
    """Runs ``ip`` commands in one go, in a namespace. Raises :class:`ToolFailed` at the first that is refused."""
    where = ("-n", namespace) if namespace else ()
    await run("ip", *where, "-batch", "-", stdin="\n".join(lines) + "\n")
