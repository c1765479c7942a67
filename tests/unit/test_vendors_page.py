"""The documentation's page of vendors says what the engines declare; and what these declare is so."""

from __future__ import annotations

from pathlib import Path

import pytest

from ccx.cmon.engines import ENGINES, get
from ccx.cmon.engines.page import page
from ccx.settings import Paths, Settings
from ccx.settings.vendors import NAMED, OFFERS

TESTS = Path(__file__).parents[1]
SETTINGS = Settings(paths=Paths.of("test"))
MADE = [(code, kind.code) for code, offer in OFFERS.items() for kind in (*offer.types, *NAMED.get(code, ()))]


def test_the_page_is_fresh() -> None:
    written = TESTS.parent / "docs" / "operate" / "vendors.md"
    assert written.read_text() == page(), "run: python -m ccx.cmon.engines.page > docs/operate/vendors.md"


def test_every_vendor_that_has_an_engine_can_be_offered_in_all_its_topologies() -> None:
    assert set(OFFERS) == set(ENGINES)
    for code, offer in OFFERS.items():
        made = {topology for where in range(len(ENGINES[code])) for topology in _topologies(code, where)}
        assert {kind.code for kind in (*offer.types, *NAMED.get(code, ()))} == made
        assert not {*offer.types} & {*NAMED.get(code, ())}


def _topologies(code: str, where: int) -> tuple[str, ...]:
    module, name = ENGINES[code][where].split(":")
    found: tuple[str, ...] = getattr(__import__(module, fromlist=[name]), name).topologies
    return found


@pytest.mark.parametrize(("vendor", "topology"), MADE)
def test_of_every_version_on_offer_it_is_said_what_was_seen_by_tests_that_there_are(vendor: str, topology: str) -> None:
    proofs = get(vendor, SETTINGS, topology).proofs
    assert {version for proof in proofs for version in proof.versions} >= set(OFFERS[vendor].versions)
    for proof in proofs:
        assert proof.tests
        assert all((TESTS / test).is_file() for test in proof.tests), proof.tests
