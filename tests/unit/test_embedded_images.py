"""Which images ``ccx up`` has ready, so that what is on offer can be ordered."""

from __future__ import annotations

import pytest

from ccx.embedded.packages import baked
from ccx.settings import Database, Paths, Settings
from ccx.settings.vendors import OFFERS

STAND_IN = OFFERS["percona"].model_copy(update={"versions": ("8.4", "9.7")})


@pytest.mark.parametrize(
    ("offered", "images"),
    [
        ((OFFERS["postgres"],), ["baked"]),
        ((OFFERS["postgres"], OFFERS["mariadb"]), ["baked", "baked-mariadb"]),
        ((OFFERS["mariadb"], STAND_IN), ["baked-mariadb", "baked-mysql"]),
        ((OFFERS["postgres"], OFFERS["mariadb"].model_copy(update={"enabled": False})), ["baked"]),
        ((OFFERS["percona"],), []),  # no image holds a version of it
    ],
)
def test_there_is_an_image_for_each_vendor_on_offer_and_for_no_other(
    offered: tuple[Database, ...], images: list[str]
) -> None:
    assert baked(Settings(paths=Paths.of("test"), databases=offered)) == images
