"""Runs Patroni in this process, once etcd serves: ``python3 -I patroni.py READY CONFIGURATION``.

``READY`` holds the arguments of ``etcd-ready``. Patroni's modules are loaded before the wait, not after it: they take
longer to load than three new etcd members to agree.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

MODULES = (
    "patroni.__main__", "patroni.api", "patroni.dcs.etcd3", "patroni.ha", "patroni.postgresql", "patroni.request",
    "patroni.validator", "patroni.watchdog", "psycopg2.extras",
)  # fmt: skip


def main(ready: str, configuration: str) -> None:
    from ccx_agent.etcd import etcd_ready

    for module in MODULES:
        with suppress(ImportError):  # another version of it has other parts, and loads them itself
            import_module(module)
    etcd_ready(json.loads(Path(ready).read_text())["args"], lambda _: None)
    sys.argv = ["patroni", configuration]
    import_module("patroni.__main__").main()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    main(*sys.argv[1:])
