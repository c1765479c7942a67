"""One folder per engine; ``get(vendor)`` finds it."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from ccx.cmon.engines.base import Engine
from ccx.errors import Invalid
from ccx.settings import Settings

# One line per engine: the vendor's code, and where its class is. Imported when asked for.
ENGINES = {
    "mariadb": "ccx.cmon.engines.mysql_family.mariadb.engine:MariaDbEngine",
    "postgres": "ccx.cmon.engines.postgres:PostgresEngine",
}


@cache
def get(vendor: str, settings: Settings) -> Engine:
    """The engine of a vendor; the same object each time. Raises Invalid for a vendor that there is none for."""
    if vendor not in ENGINES:
        raise Invalid(f"there is no engine for {vendor!r}", remedy=f"Choose one of: {', '.join(sorted(ENGINES))}")
    module, name = ENGINES[vendor].split(":")
    engine: Engine = getattr(import_module(module), name)(settings)
    duties = {duty for duty in vars(Engine) if not duty.startswith("_")} | set(Engine.__annotations__)
    missing = sorted(duty for duty in duties if not hasattr(engine, duty))
    if missing:
        raise TypeError(f"the engine of {vendor} lacks {', '.join(missing)}")
    return engine
