"""One folder per engine; ``get`` finds it by vendor and topology."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from ccx.cmon.engines.base import Engine
from ccx.errors import Invalid
from ccx.settings import Settings

# By the vendor's code: where its engines' classes are, that of its usual topology first. Imported when asked for.
ENGINES = {
    "mariadb": (
        "ccx.cmon.engines.mysql_family.mariadb.engine:MariaDbEngine",
        "ccx.cmon.engines.mysql_family.mariadb.galera.engine:MariaDbGaleraEngine",
    ),
    "percona": (
        "ccx.cmon.engines.mysql_family.percona.engine:PerconaEngine",
        "ccx.cmon.engines.mysql_family.percona.galera.engine:XtraDbClusterEngine",
    ),
    "postgres": ("ccx.cmon.engines.postgres:PostgresEngine",),
}


def get(vendor: str, settings: Settings, topology: str = "") -> Engine:
    """The vendor's engine that makes the topology (the usual one); the same object each time.

    Raises Invalid where there is none.
    """
    if vendor not in ENGINES:
        raise Invalid(f"there is no engine for {vendor!r}", remedy=f"Choose one of: {', '.join(sorted(ENGINES))}")
    for where in ENGINES[vendor]:
        engine = _engine(where, settings)
        if topology in ("", *engine.topologies):
            return engine
    raise Invalid(f"{vendor} has no topology {topology!r}", field="general.cluster_type")


@cache
def _engine(where: str, settings: Settings) -> Engine:
    module, name = where.split(":")
    engine: Engine = getattr(import_module(module), name)(settings)
    duties = {duty for duty in vars(Engine) if not duty.startswith("_")} | set(Engine.__annotations__)
    missing = sorted(duty for duty in duties if not hasattr(engine, duty))
    if missing:
        raise TypeError(f"{where} lacks {', '.join(missing)}")
    return engine
