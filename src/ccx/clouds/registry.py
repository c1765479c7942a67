"""Which clouds there are. A cloud is one line in ``_DRIVERS``; its module, and so its SDK, loads at its first use."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ccx.clouds.base import Cloud
from ccx.errors import Invalid
from ccx.settings.model import CloudConfig, Settings


@dataclass(frozen=True)
class Driver:
    """Where a driver's class is, and how it is made from what the operator configured."""

    module: str
    name: str
    make: Callable[[Any, CloudConfig, Settings], Cloud]

    def load(self) -> type[Cloud]:
        """The class. Raises TypeError, naming what is missing, for one that is no whole Cloud."""
        driver: type[Cloud] = getattr(import_module(self.module), self.name)
        check_complete(driver)
        return driver


_DRIVERS = {
    "local": Driver(
        "ccx.clouds.local.driver", "LocalCloud",
        lambda cls, c, s: cls(s.paths.run / "cloud.sock", c.code, {t.type: t for t in c.instance_types}),
    ),
    "simulated": Driver(
        "ccx.clouds.simulated.driver", "SimulatedCloud", lambda cls, c, s: cls.from_config(c, s)
    ),
}  # fmt: skip


def cloud_types() -> list[str]:
    """What a cloud's ``type`` may be in the configuration."""
    return sorted(_DRIVERS)


def load_driver(cloud_type: str) -> type[Cloud]:
    """The driver of a type, imported and checked. Raises Invalid for a type that nobody wrote a driver for."""
    return _driver(cloud_type).load()


def make_cloud(config: CloudConfig, settings: Settings) -> Cloud:
    """The cloud that the operator configured; nothing is connected yet."""
    driver = _driver(config.type)
    return driver.make(driver.load(), config, settings)


def check_complete(driver: type) -> None:
    """Raises TypeError unless ``driver`` has every method of :class:`Cloud` with the same parameters.

    A gap shows when the control plane starts, not when the first node has to be fenced at night.
    """
    gaps = []
    for name, promised in inspect.getmembers(Cloud, inspect.isfunction):
        if name.startswith("_"):
            continue
        method = getattr(driver, name, None)
        if method is None:
            gaps.append(f"{name} is missing")
        elif (has := _shape(method)) != (needs := _shape(promised)):
            gaps.append(f"{name} takes {has}, not {needs}")
        elif inspect.iscoroutinefunction(promised) != inspect.iscoroutinefunction(method):
            gaps.append(f"{name} must {'' if inspect.iscoroutinefunction(promised) else 'not '}be awaitable")
    if gaps:
        raise TypeError(f"{driver.__name__} is not a whole cloud: {'; '.join(gaps)}")


def _driver(cloud_type: str) -> Driver:
    if cloud_type not in _DRIVERS:
        known = ", ".join(cloud_types())
        raise Invalid(f"there is no driver for clouds of type {cloud_type!r}", remedy=f"Use one of {known}")
    return _DRIVERS[cloud_type]


def _shape(method: Any) -> list[str]:
    parameters = list(inspect.signature(method).parameters.values())[1:]
    return [f"{'*' if p.kind is p.KEYWORD_ONLY else ''}{p.name}" for p in parameters]
