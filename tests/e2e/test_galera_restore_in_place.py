"""A restore under the same names, of MariaDB with Galera."""

from __future__ import annotations

import pytest
from tests.e2e.mariadb_in_place import MariaDbInPlace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class TestGalera(MariaDbInPlace):
    topology = "galera"
