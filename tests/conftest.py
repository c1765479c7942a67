"""What all tests share: how far the property tests look, and what a failed ``assert`` says, in helpers too."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

pytest.register_assert_rewrite(
    "tests.cloud_conformance",
    "tests.engine_conformance",
    "tests.restore_conformance",
    "tests.store_conformance",
    "tests.e2e",
    "tests.integration",
)

# The same examples every time where a run must say something about a change; new ones where there is time to look.
settings.register_profile("sample", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile(os.environ.get("CCX_TEST_PROFILE", "sample"))
