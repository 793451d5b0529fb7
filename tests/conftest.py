"""Fixtures for all tests: the development cluster's; and hypothesis without its deadline, which times the machine."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

pytest_plugins = ["ecoserve_devcluster.pytest_plugin"]
