"""``ccx down`` where there is nothing."""

import pytest

from ccx.embedded.stop import down
from ccx.errors import NotFound


async def test_purging_an_instance_that_never_was_succeeds_and_says_so() -> None:
    said: list[str] = []
    await down("never-was", purge=True, say=said.append)
    assert said == ["there is nothing of an instance 'never-was' on this machine"]


async def test_stopping_an_instance_that_never_was_is_refused() -> None:
    with pytest.raises(NotFound, match="there is no instance 'never-was'"):
        await down("never-was", purge=False, say=print)
