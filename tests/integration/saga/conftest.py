"""Lets pytest say what the two sides of a failed ``assert`` were, in the suite's helpers too."""

import pytest

pytest.register_assert_rewrite(
    "tests.cloud_conformance", "tests.integration.saga.cases", "tests.integration.saga.suite"
)
