"""Which datastore a person means: by name, uuid, or the beginning of a uuid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ccx.errors import Invalid, NotFound

if TYPE_CHECKING:
    from ccx.cli.client import Api

Datastore = Mapping[str, Any]

STORES = "/deployment/v3/data-stores"
_PAGE = 100
_SHORTEST_PREFIX = 4
_GONE = ("DEPLOY_FAILED", "DELETED")


def every(api: Api) -> Iterator[Datastore]:
    """All datastores that we may see, page by page."""
    offset = 0
    while True:
        answer = api.get(STORES, limit=_PAGE, offset=offset)
        page: Sequence[Datastore] = answer.get("data_stores") or ()
        yield from page
        offset += len(page)
        total = (answer.get("pagination") or {}).get("total", answer.get("total", offset))
        if not page or offset >= total:
            return


def datastore(api: Api, wanted: str) -> Datastore:
    """The datastore called ``wanted``.

    A name comes before a prefix, and a living datastore before one whose deploy failed. Raises :class:`NotFound`, or
    :class:`Invalid` listing the candidates when several fit.
    """
    if _is_uuid(wanted):
        found: Datastore = api.get(f"{STORES}/{wanted}")
        return found
    return pick(list(every(api)), wanted)


def pick(stores: Sequence[Datastore], wanted: str) -> Datastore:
    """As :func:`datastore`, among ``stores``."""
    fitting = [s for s in stores if s["cluster_name"] == wanted]
    if not fitting and len(wanted) >= _SHORTEST_PREFIX:
        fitting = [s for s in stores if s["uuid"].startswith(wanted.lower())]
    alive = [s for s in fitting if s["cluster_status"] not in _GONE]
    candidates = alive or fitting[:1]
    if not candidates:
        raise NotFound(f"no datastore {wanted!r}", field="datastore", remedy="See yours: ccx datastore list")
    if len(candidates) > 1:
        listed = ", ".join(f"{s['uuid']} ({s['cluster_name']})" for s in candidates)
        raise Invalid(f"{wanted!r} fits several: {listed}", field="datastore", remedy="Give the uuid, or more of it")
    return candidates[0]


def identity(api: Api, wanted: str) -> str:
    """The uuid of the datastore called ``wanted``; a whole uuid is taken as it is."""
    return wanted if _is_uuid(wanted) else str(datastore(api, wanted)["uuid"])


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False
