"""The same day under each objective, planned from the same files without the cluster, beside the live run."""

import os
from datetime import timedelta

from ecoserve.cli.sources import read_sources
from ecoserve.simulation.day import Day, simulate_day
from ecoserve_demo.scenario import FLEET, MANIFESTS, Scenario

_MIDDLE_OF_THE_HOUR = timedelta(minutes=30)
_NICENESS = 10
"""The cluster that people watch goes first."""


def day_of_objectives(scenario: Scenario) -> Day:
    """Plan the middle of every hour of the scenario under every objective."""
    os.nice(_NICENESS)
    sources = read_sources([MANIFESTS, FLEET])
    return simulate_day(sources.snapshot_at, scenario.start + _MIDDLE_OF_THE_HOUR, hours=scenario.hours)
