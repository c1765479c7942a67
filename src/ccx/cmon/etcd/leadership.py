"""Ending the leadership of a node that is known to be off."""

from __future__ import annotations

import asyncio

from ccx.cmon.etcd.client import Etcd, EtcdRefused, EtcdSilent
from ccx.cmon.etcd.layout import NAMESPACE
from ccx.errors import Transient

PATIENCE = 5.0
"""Seconds. Where the dead node led etcd as well, the revoke waits for an election of about half a second."""

_PAUSE = 0.05


async def release(etcd: Etcd, scope: str, dead: str) -> bool:
    """Revokes the lease that the leader key lives by, when it names ``dead``; the dead's member key goes with it.

    At first the quickest survivor is believed, which needs no majority: one that is behind and names ``dead`` could
    only make us end a lease that has ended already. That somebody else leads, or nobody, only a majority can say: a
    member that was cut off until now still names who led before.
    """
    key, released, last = f"{NAMESPACE}{scope}/leader", False, "no member answered"
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    held = None if released else await etcd.glance(key)
                    if held is None or held.value != dead:
                        held = await etcd.read(key)
                    if held is None or held.value != dead:
                        return released
                    await etcd.revoke(held.lease)
                    released = True
                except (EtcdSilent, EtcdRefused) as error:
                    last = str(error)
                    await asyncio.sleep(_PAUSE)
    except TimeoutError:
        raise Transient(f"the leadership of {dead} could not be ended in {PATIENCE:g} s: {last}") from None
