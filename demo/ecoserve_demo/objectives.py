"""The same day under each objective, planned from the same files without the cluster, beside the live run."""

import os

from ecoserve.cli.sources import read_sources
from ecoserve.simulation.day import Day, simulate_day
from ecoserve_demo.scenario import FLEET, MANIFESTS, Scenario

_NICENESS = 10
"""The cluster that people watch goes first."""


def day_of_objectives(scenario: Scenario) -> Day:
    """Plan every hour of the scenario under every objective."""
    os.nice(_NICENESS)
    return simulate_day(read_sources([MANIFESTS, FLEET]).snapshot_at, scenario.start, hours=scenario.hours)
