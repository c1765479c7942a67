"""PostgreSQL is an engine like any other."""

from __future__ import annotations

import pytest
from tests.e2e.postgres_application import PostgresApplication
from tests.engine_conformance import EngineConformance

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class TestPostgres(EngineConformance):
    application = PostgresApplication()
