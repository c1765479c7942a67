from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.clouds.base import NoCapacity
from ccx.clouds.local.capacity import Host, Limits, check
from ccx.clouds.local.catalogue import INSTANCE_TYPES, size_of
from ccx.errors import Invalid

HOST = Host(memory=8, disk_free=100)
LIMITS = Limits(disk=3, memory=4)


def test_what_fits_exactly_is_taken() -> None:
    check(HOST, LIMITS, [100, 100], [100], 30, 2)


def test_a_volume_larger_than_the_free_disk_is_refused_with_the_largest_that_is_not() -> None:
    with pytest.raises(NoCapacity) as refused:
        check(HOST, LIMITS, [], [101], 0, 0)
    assert refused.value.field == "volume_size"
    assert "at most 100 GiB" in str(refused.value)


def test_volumes_beyond_the_overcommit_are_refused_naming_what_is_given() -> None:
    with pytest.raises(NoCapacity, match="101 GiB of volumes do not fit: 200 GiB are given out of 300 GiB"):
        check(HOST, LIMITS, [100, 100], [100, 1], 0, 0)


def test_memory_beyond_the_overcommit_is_refused_naming_what_is_given() -> None:
    with pytest.raises(NoCapacity, match="3 GiB of memory do not fit: 30 GiB are given out of 32 GiB"):
        check(HOST, LIMITS, [], [], 30, 3)


def test_a_full_machine_still_accepts_what_takes_nothing() -> None:
    check(Host(memory=8, disk_free=0), LIMITS, [500], [], 99, 0)


@given(st.integers(0, 40), st.integers(1, 40))
def test_memory_is_refused_exactly_beyond_the_limit(given_out: int, new: int) -> None:
    try:
        check(HOST, LIMITS, [], [], given_out, new)
        fits = True
    except NoCapacity:
        fits = False
    assert fits == (given_out + new <= 32)


def test_sizes_come_from_the_catalogue_or_are_written_out() -> None:
    assert size_of("small") == INSTANCE_TYPES["small"]
    assert size_of("8x64") == (8, 64)


@pytest.mark.parametrize("word", ["", "huge", "0x4", "2x", "2x4x8"])
def test_an_unknown_size_is_refused_with_the_known_ones(word: str) -> None:
    with pytest.raises(Invalid) as refused:
        size_of(word)
    assert "tiny, small" in str(refused.value)
