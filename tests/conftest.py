"""Hypothesis profiles for all tests: the same examples each time in CI, many more at night."""

import os

from hypothesis import settings

# No deadlines: speed is measured in benchmarks, and a busy machine is no failure.
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("faults", settings.get_profile("ci"), max_examples=500)
settings.register_profile("nightly", deadline=None, max_examples=1_000, print_blob=True)
settings.load_profile(os.environ.get("SYMGRID_TEST_PROFILE", "ci"))
