"""What the supervisor does once in a while, each time in a process of its own: it needs much that would stay loaded.

``python -m ccx.embedded.chores certificates|packages --instance NAME``
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import Literal

from ccx.embedded.layout import Layout, remembered
from ccx.embedded.shell import run
from ccx.errors import CcxError

Chore = Literal["certificates", "packages"]


async def do(chore: Chore, layout: Layout) -> None:
    """Renews the listeners' certificates that expire soon, or rebuilds the nodes' package repository.

    Raises :class:`ccx.embedded.shell.ToolFailed`.
    """
    await run(sys.executable, "-I", "-B", "-m", "ccx.embedded.chores", chore, "--instance", layout.instance)


def main() -> int:
    from ccx.embedded.files import Files

    def _certificates(files: Files) -> None:
        files.certificates()
        files.bundle()

    chores: dict[str, Callable[[Files], None]] = {"certificates": _certificates, "packages": Files.packages}
    parser = argparse.ArgumentParser(prog="ccx.embedded.chores")
    parser.add_argument("chore", choices=chores)
    parser.add_argument("--instance", required=True)
    options = parser.parse_args()
    os.umask(0o022)  # the supervisor's would hide the packages from the control plane
    layout = remembered(options.instance)
    try:
        if layout is None:
            raise CcxError(f"instance {options.instance!r} is not installed", status=404)
        chores[options.chore](Files(layout))
    except (CcxError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
