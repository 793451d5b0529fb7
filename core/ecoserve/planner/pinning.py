"""Replicas that are fixed in a problem: what those that run are worth, or what is best beside them."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace

from ecoserve.planner.build import Problem
from ecoserve.planner.instance import InstanceSpec, LimitSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """Replicas that are fixed, by configuration, at none where it is not named; servings in `free` are not bound."""

    replicas: Mapping[str, int]
    free: Set[str] = frozenset()


def with_pinned(problem: Problem, pinned: Pinned) -> Problem:
    """Return the problem with replicas fixed; those of free servings stay within the limits they have.

    Kinds of replica of which none may run are left out: most of them, so that the rest is solved in a moment.
    """
    if problem.instance is None:
        return problem
    spec = problem.instance.spec
    most = {
        name: pinned.replicas.get(item.held_as, 0)
        for name, item in problem.configurations.items()
        if item.serving not in pinned.free
    }
    kept = _kept(problem, spec, most)
    by_serving: dict[str, dict[str, list[str]]] = {}
    for name in most:
        if name in kept:
            item = problem.configurations[name]
            by_serving.setdefault(item.serving, {}).setdefault(item.held_as, []).append(name)
    narrower = spec.model_copy(
        update={
            "configurations": tuple(
                item.model_copy(update={"max_replicas": most[item.name]}) if item.name in most else item
                for item in spec.configurations
                if item.name in kept
            ),
            "options": tuple(option for option in spec.options if option.configuration in kept),
            "limits": (
                *(limit for limit in spec.limits if limit.configurations[0] not in most),
                *(
                    LimitSpec(
                        name=serving,
                        configurations=tuple(name for names in kinds.values() for name in names),
                        min_replicas=sum(pinned.replicas.get(held, 0) for held in kinds),
                    )
                    for serving, kinds in by_serving.items()
                ),
                *(
                    LimitSpec(
                        name=held, configurations=tuple(names), max_replicas=pinned.replicas.get(held, 0)
                    )
                    for kinds in by_serving.values()
                    for held, names in kinds.items()
                    if len(names) > 1
                ),
            ),
        }
    )
    return replace(problem, instance=problem.instance.model_copy(update={"spec": narrower}))


def _kept(problem: Problem, spec: InstanceSpec, most: Mapping[str, int]) -> frozenset[str]:
    """Return the configurations that may run or are held, and all of servings that these alone could not serve.

    An instance has options for each of its slices, also where none of them may be used.
    """
    kept = {name for name in problem.configurations if most.get(name, 1) > 0 or name in spec.held}
    phases: dict[str, set[str]] = {item.name: set() for item in spec.slices}
    for option in spec.options:
        if option.configuration in kept:
            phases[option.slice].add(option.phase)
    short = {
        problem.slices[name].serving
        for name, known in phases.items()
        if "both" not in known and not known.issuperset(("prefill", "decode"))
    }
    return frozenset(
        name for name, item in problem.configurations.items() if name in kept or item.serving in short
    )
