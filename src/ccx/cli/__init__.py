"""The ``ccx`` command: a client of the API like any other, and the commands that run a control plane (``up``).

Modules are imported when their command runs, so that help and completion answer at once.
"""

from __future__ import annotations


def main() -> int:
    """The console script: runs ``sys.argv`` and returns the exit code (:mod:`ccx.cli.exits`)."""
    from ccx.cli.app import run

    return run()
