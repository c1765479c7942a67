"""Where the node-side programs' sources are: beside the package in a checkout, inside it once installed."""

from __future__ import annotations

from pathlib import Path

import ccx
import ccx_probe


def node_side() -> Path:
    """The folder that holds ``ccx_agent/`` and ``ccx_enrol.py``."""
    package = Path(ccx.__file__).parent
    installed = package / "_agent"
    return installed if installed.is_dir() else package.parents[1] / "agent"


def shared() -> Path:
    """The package ``ccx_probe``, which both sides run."""
    return Path(ccx_probe.__file__).parent
