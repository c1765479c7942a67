"""Whether the cloud has room for what is ordered: asked before anything is made."""

from __future__ import annotations

import asyncio

from ccx.clouds.base import Demand, NoCapacity, QuotaExceeded, Unavailable
from ccx.runner.services import Services
from ccx.settings import CloudConfig, InstanceType, Region

_WITHIN_S = 10
"""Existing clients give up after 30, and the request's transaction is held meanwhile."""


async def check(
    services: Services, cloud: CloudConfig, region: Region, instance: InstanceType, volume_size: int, size: int
) -> None:
    """Raises for nodes that the cloud says it has no room for, and where it does not say."""
    demand = Demand(instance.type, instance.cpu, instance.ram, volume_size, region.code)
    try:
        async with asyncio.timeout(_WITHIN_S):
            await services.clouds[cloud.code].check_capacity([demand] * size)
    except TimeoutError:
        raise Unavailable(f"the cloud {cloud.code} does not say whether it has room for this") from None
    except (NoCapacity, QuotaExceeded) as error:
        error.field = error.field or "instance"
        error.remedy = error.remedy or "Order less or smaller nodes, or another region or cloud"
        raise
