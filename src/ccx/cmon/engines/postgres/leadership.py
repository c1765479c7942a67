"""Ending the leadership of a node that is known to be off."""

from __future__ import annotations

import asyncio

from ccx.cmon.engines.postgres.etcd import Etcd, EtcdRefused, EtcdSilent
from ccx.cmon.engines.postgres.layout import NAMESPACE
from ccx.errors import Transient

PATIENCE = 5.0
"""Seconds. Where the dead node led etcd as well, the revoke waits for an election of about half a second."""

_PAUSE = 0.05


async def release(etcd: Etcd, scope: str, dead: str) -> bool:
    """Revokes the lease that the leader key lives by, when it names ``dead``; the dead's member key goes with it.

    The key is read from any survivor, without a majority: one that is behind could only name a lease that has ended
    since.
    """
    released, last = False, "no member answered"
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    held = await etcd.read(f"{NAMESPACE}{scope}/leader")
                    if held is None or held.value != dead:
                        return released
                    await etcd.revoke(held.lease)
                    released = True
                except (EtcdSilent, EtcdRefused) as error:
                    last = str(error)
                    await asyncio.sleep(_PAUSE)
    except TimeoutError:
        raise Transient(f"the leadership of {dead} could not be ended in {PATIENCE:g} s: {last}") from None
