"""Runs the system's own tools (``ip``, ``nft``) and turns their failure into one line."""

from __future__ import annotations

import asyncio

from ccx.errors import CcxError


class ToolFailed(CcxError):
    """A system tool refused. ``err`` holds what it said."""

    status = 500


async def run(*argv: str, stdin: str | None = None) -> str:
    """The tool's output. Raises :class:`ToolFailed` with its complaint."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(stdin.encode() if stdin is not None else None)
    if process.returncode:
        complaint = " ".join(err.decode(errors="replace").split()) or f"exit code {process.returncode}"
        raise ToolFailed(f"{' '.join(argv)}: {complaint}")
    return out.decode(errors="replace")
