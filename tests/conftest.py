"""What all tests share: how far the property tests look."""

from __future__ import annotations

import os

from hypothesis import settings

# The same examples every time where a run must say something about a change; new ones where there is time to look.
settings.register_profile("sample", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile(os.environ.get("CCX_TEST_PROFILE", "sample"))
