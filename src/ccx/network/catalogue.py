"""The whole contract: every package's declarations, without loading the packages (or any SDK of theirs)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import MappingProxyType

import ccx
from ccx.errors import Invalid
from ccx.network.endpoint import Endpoint
from ccx.network.registry import declared

_ROOT = Path(ccx.__file__).parent


@cache
def load() -> Mapping[str, Endpoint]:
    """All declarations by id, sorted. Raises Invalid for declarations that contradict each other."""
    for path in modules():
        _load(path)
    found = dict(sorted(declared().items()))
    _refuse_contradictions(found.values())
    return MappingProxyType(found)


def modules() -> list[Path]:
    """The files that declare: each package's ``endpoints.py``, and the rows of services that are planned."""
    planned = (path for path in (_ROOT / "network" / "planned").glob("*.py") if path.name != "__init__.py")
    return sorted([*_ROOT.rglob("endpoints.py"), *planned])


def _load(path: Path) -> None:
    """Runs the module under its own name, so that its package finds it loaded later, but not the package around it.

    A declaring module imports only the contract and the settings (a test sees to it), so it needs no package.
    """
    name = ".".join([ccx.__name__, *path.relative_to(_ROOT).with_suffix("").parts])
    if name in sys.modules:
        return
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise Invalid(f"{path} can't be loaded")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def _refuse_contradictions(endpoints: object) -> None:
    seen: dict[tuple[object, ...], Endpoint] = {}
    for endpoint in endpoints:  # type: ignore[attr-defined]
        if not isinstance(endpoint.host, str) or callable(endpoint.ports):
            continue
        for port in endpoint.ports if isinstance(endpoint.ports, tuple) else (endpoint.ports,):
            key = (endpoint.host, port, endpoint.protocol.transport)
            other = seen.setdefault(key, endpoint)
            if other.protocol is not endpoint.protocol:
                raise Invalid(
                    f"{other.id} says that {endpoint.host}:{port} speaks {other.protocol}, {endpoint.id} says "
                    f"{endpoint.protocol}",
                    field=endpoint.module, remedy="One of the two is wrong",
                )  # fmt: skip
