"""Operations by name."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ccx.jobs import Job, operation
from ccx.jobs.registry import find, known

MINUTE = timedelta(minutes=1)


def test_an_operation_is_found_by_its_name_and_stays_callable() -> None:
    @operation("unit-found", deadline=MINUTE)
    async def found(job: Job) -> None: ...

    registered = find("unit-found")
    assert registered
    assert (registered.function, registered.deadline) == (found, MINUTE)
    assert registered in known()
    assert find("unit-unknown") is None


def test_two_operations_cannot_have_one_name_but_a_module_may_be_imported_again() -> None:
    def make() -> None:
        @operation("unit-same", deadline=MINUTE)
        async def same(job: Job) -> None: ...

    make()
    make()
    with pytest.raises(ValueError, match="two operations"):

        @operation("unit-same", deadline=MINUTE)
        async def other(job: Job) -> None: ...
