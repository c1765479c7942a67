"""What is told of the control plane's own copy, how far its log reaches, and who may open its configuration."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from ccx.embedded import bundle
from ccx.errors import Invalid
from ccx.recovery.copy import reached
from ccx.recovery.places import Series, instances, series_of
from ccx.recovery.sealing import Damaged, DataKey
from ccx.recovery.status import CopyStatus
from ccx.rest import exposition
from ccx.secrets import KeyRing, export_recovery, import_recovery
from ccx.secrets.keys import Unsealable


def test_the_log_reaches_to_its_first_gap() -> None:
    series = Series("one", 1)
    chunks = [series.chunk(*span) for span in ((0, 16), (16, 20), (16, 30), (31, 40))]

    assert reached(chunks, 0) == 30
    assert reached(chunks, 31) == 40
    assert reached(chunks, 30) is None
    assert reached([], 0) is None


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 8)), max_size=12), st.integers(0, 40))
def test_the_log_reaches_as_far_as_each_byte_is_there(chunks: list[tuple[int, int]], start: int) -> None:
    """However often a stretch was put, and in whatever pieces."""
    series = Series("one", 1)
    there = {byte for first, length in chunks for byte in range(first, first + length)}
    end = start
    while end in there:
        end += 1

    assert reached([series.chunk(first, first + length) for first, length in chunks], start) == (
        end if end > start else None
    )


@given(st.binary(max_size=200), st.booleans())
def test_an_object_opens_in_its_own_place_and_in_no_other(data: bytes, compress: bool) -> None:
    ring, series = KeyRing({1: b"w" * 32}), Series("one", 1)
    key = DataKey.opened(DataKey.new().sealed(ring, series), ring, series)
    sealed = key.seal("here", data, compress=compress)

    assert key.open("here", sealed, compressed=compress) == data
    for place, object_ in (("there", sealed), ("here", sealed[:-1] + bytes([sealed[-1] ^ 1])), ("here", b"")):
        with pytest.raises(Damaged, match=place):
            key.open(place, object_, compressed=compress)


def test_a_data_key_opens_for_its_own_series_and_installation_only() -> None:
    ring, series = KeyRing({1: b"w" * 32}), Series("one", 1)
    sealed = DataKey.new().sealed(ring, series)

    for text, opens, place in (
        (sealed, KeyRing({1: b"x" * 32}), series),
        (sealed, ring, Series("one", 2)),
        (sealed, ring, Series("two", 1)),
        (b"no key", ring, series),
        (b"{}", ring, series),
    ):
        with pytest.raises(Unsealable):
            DataKey.opened(text, opens, place)


def test_generations_and_instances_are_known_by_their_keys() -> None:
    keys = [Series("one", n).chunk(0, 1) for n in (12, 3)] + ["control-plane/one/claims/00000012"]

    assert [series.generation for series in series_of("one", keys)] == [3, 12]
    assert instances([*keys, Series("two", 1).key, "datastores/x/y"]) == ["one", "two"]


def test_status_and_metrics_say_how_old_the_copy_is_and_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "recovery").mkdir()
    CopyStatus(kept=True, complete=time.time() - 90, base=time.time() - 3600, failed="the store is full").save(tmp_path)

    status = CopyStatus.load(tmp_path)
    registry = CollectorRegistry()
    registry.register(exposition._Fixed(exposition._own_copy(tmp_path)))
    told = {line.split()[0]: float(line.split()[1]) for line in generate_latest(registry).decode().splitlines()
            if not line.startswith("#")}  # fmt: skip

    assert status is not None
    assert "complete up to 9" in status.words()
    assert "the store is full" in status.words()
    assert 90 <= told["ccx_control_plane_copy_age_seconds"] < 100
    assert told["ccx_control_plane_copy_failed"] == 1
    assert told["ccx_control_plane_claim_unheard"] == 0


def test_an_external_database_is_said_not_to_be_backed_up_and_has_no_metrics(tmp_path: Path) -> None:
    (tmp_path / "recovery").mkdir()
    CopyStatus(why_not="the database is not ours (dsn): its owner backs it up").save(tmp_path)

    status = CopyStatus.load(tmp_path)
    assert status is not None
    assert status.words().startswith("not backed up: the database is not ours")
    assert exposition._own_copy(tmp_path) == []


def test_a_recovery_copy_carries_the_key_that_never_seals() -> None:
    ring = KeyRing({1: os.urandom(32)})
    copy = export_recovery(ring.plus(0, b"r" * 32), "correct horse battery staple")

    key, wrapping = import_recovery(copy, "correct horse battery staple").parted(0)

    assert key == b"r" * 32
    assert wrapping.to_lines() == ring.to_lines()
    assert ring.plus(0, b"r" * 32).newest == 1


@pytest.mark.skipif(os.getuid() != 0, reason="gives files their owners")
def test_a_configuration_comes_back_with_its_modes_and_without_the_keys_that_open_it(tmp_path: Path) -> None:
    etc, back = tmp_path / "etc", tmp_path / "back"
    (etc / "apt").mkdir(parents=True)
    back.mkdir()
    for name, mode in (("ca.key", 0o600), ("ccx.yaml", 0o640), ("apt/key", 0o600), ("wrapping.key", 0o600)):
        (etc / name).write_text(name)
        (etc / name).chmod(mode)
    (etc / "link").symlink_to("/etc/passwd")
    sealed = bundle.sealed(etc, b"k" * 32)

    assert bundle.same(sealed, bundle.sealed(etc, b"k" * 32))
    assert b"ca.key" not in sealed
    with pytest.raises(Invalid, match="does not open"):
        bundle.restore(sealed, b"x" * 32, back)
    bundle.restore(sealed, b"k" * 32, back)

    assert sorted(str(path.relative_to(back)) for path in back.rglob("*")) == ["apt", "apt/key", "ca.key", "ccx.yaml"]
    assert [oct((back / name).stat().st_mode & 0o777) for name in ("ca.key", "ccx.yaml")] == ["0o600", "0o640"]
