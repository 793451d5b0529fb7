"""Fixtures for all tests: the development cluster's. Profiles of hypothesis.

A check of a commit must tell the same each time, so examples are derived from the tests; `HYPOTHESIS_PROFILE=search` looks for
new ones, which is how properties are to be run while the code that they hold is worked on.
"""

import os

from hypothesis import settings

pytest_plugins = ["ecoserve_devcluster.pytest_plugin"]

settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
settings.register_profile("search", deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
