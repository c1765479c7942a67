"""What the size of a datastore's nodes comes to is told in its single read."""

from __future__ import annotations

from tests.integration.rest.conftest import Api

STORES = "/deployment/v3/data-stores"


async def test_the_single_read_tells_what_its_size_comes_to_and_a_list_does_not(user: Api) -> None:
    uuid = await user.create(instance={"instance_size": "small"})
    store = (await user.get(f"{STORES}/{uuid}")).json()
    assert store["size_parameters"] == {"memory": "2048M", "threads": "2"}
    (listed,) = (await user.get(STORES)).json()["data_stores"]
    assert listed["size_parameters"] is None
