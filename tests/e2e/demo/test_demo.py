"""The demonstration as a person runs it, two simulated hours long."""

import os
import re
import subprocess
import sys

import pytest

from ecoserve_devcluster import binary

pytestmark = pytest.mark.devcluster


def test_two_hours_play_and_leave_nothing_behind() -> None:
    binary("helm")  # built before the clock of this test's patience starts
    name = f"demo-{os.getpid()}"
    ran = subprocess.run(
        [sys.executable, "-m", "ecoserve_demo", "--hours", "2", "--seconds-per-hour", "6", "--name", name],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-4000:]
    assert "40 pods; one row for each kind of decision" in ran.stdout
    offline = [row for row in ran.stdout.splitlines() if "nightly-scoring" in row]
    assert offline
    assert all("m7" in row and "web" not in row for row in offline)  # CPU nodes, and none of the busy ones
    assert re.search(
        r"^demo +chat-8b +(True|False) +\w+ +[1-9]", ran.stdout, re.MULTILINE
    )  # as kubectl tells
    assert "carbon saves" in ran.stdout
    status = subprocess.run(
        [sys.executable, "-m", "ecoserve_devcluster.cli", "status", "--output", "json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert name not in status.stdout
