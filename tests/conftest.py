"""Fixtures for all tests: the development cluster's."""

pytest_plugins = ["ecoserve_devcluster.pytest_plugin"]
