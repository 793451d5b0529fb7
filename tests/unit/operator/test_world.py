"""The world between watches and writes."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from ecoserve_operator.acting.deployments import Wanted
from ecoserve_operator.watch.records import DeploymentRecord, Key
from ecoserve_operator.watch.world import Nudges, World


@pytest.mark.parametrize(
    ("known", "uid", "stays"),
    [("9", "same", False), ("10", "same", True), ("11", "same", True), ("11", "other", False)],
)
def test_the_answer_to_a_write_never_replaces_what_a_watch_told_later(
    known: str,
    uid: str,
    stays: bool,
    wanted_on: Callable[..., Wanted],
    runs: Callable[..., tuple[Key, DeploymentRecord]],
) -> None:
    key, record = runs(wanted_on("a", 2), 2)
    told = replace(record, resource_version=known, uid=uid)
    written = replace(record, resource_version="10", uid="same", settled=False)
    world = World(nudges=Nudges(0.0), deployments={key: told})
    world.note_written(written)
    assert (world.deployments[key] is told) is stays


def test_what_nobody_has_told_of_yet_is_taken_over(
    wanted_on: Callable[..., Wanted], runs: Callable[..., tuple[Key, DeploymentRecord]]
) -> None:
    key, record = runs(wanted_on("a", 2), 2)
    world = World(nudges=Nudges(0.0))
    world.note_written(record)
    assert world.deployments == {key: record}


def test_what_was_deleted_is_gone_at_once_but_not_what_has_its_name_by_now(
    wanted_on: Callable[..., Wanted], runs: Callable[..., tuple[Key, DeploymentRecord]]
) -> None:
    key, record = runs(wanted_on("a", 2), 2)
    world = World(nudges=Nudges(0.0), deployments={key: record})
    world.note_deleted(replace(record, uid="before"))
    assert world.deployments == {key: record}
    world.note_deleted(record)
    assert world.deployments == {}
