"""Runs a database's own command line in our place."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping, Sequence

from ccx.cli.exits import Exit
from ccx.errors import CcxError


def run(command: Sequence[str], environ: Mapping[str, str], name: str, package: str) -> int:
    """To its end; 0, or 1 when it failed. Raises CcxError where it is missing: ``name`` and Debian's ``package``."""
    # Ctrl-C cancels its query; it must not end us and take the file with the password away.
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        ended = subprocess.run(
            command, env=environ, check=False, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
        )
    except FileNotFoundError:
        raise CcxError(
            f"{command[0]} is not installed", status=500, remedy=f"Install {name}: apt-get install {package}"
        ) from None
    finally:
        signal.signal(signal.SIGINT, previous)
    return Exit.OK if ended.returncode == 0 else Exit.FAILED
