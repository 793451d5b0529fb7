"""A coarse linear program that tells which options the fine one needs.

All slices want the same few pools, so the cheapest options of each, taken alone, are the wrong ones wherever supply
is scarce. Slices that the same hardware suits are moved together here: some dozens of clusters instead of
hundreds of slices, solved in milliseconds. What it finds is feasible for the slices, too, and its duals say what
replicas are worth; the fine program starts with the options that it uses and those that are cheap at its prices.
"""

from dataclasses import replace

import numpy as np

from ecoserve.planner.bounds import offer_costs, offer_zones, replica_costs
from ecoserve.planner.formulation import Formulation
from ecoserve.planner.mathopt_backend import LinearSession
from ecoserve.planner.offers import BOTH, PHASES
from ecoserve.planner.program import Flags, Indices, Program, Vector, distinct

_CLUSTERS = 24
_POWER_STEPS = 6
_PENALTY = 3.0


def promising_offers(formulation: Formulation, program: Program, objective: Vector, count: int) -> Flags:
    """Return which options to start with: `count` of each slice, phase and zone, and what the coarse program uses."""
    offered = formulation.offered
    clusters = _clusters(formulation)
    open_program, priced = _with_penalties(formulation, program, objective, clusters)
    coarse, places = _coarse(formulation, open_program, clusters)
    prices = _sum(places, priced, coarse.columns)
    solution = LinearSession(coarse, prices, np.flatnonzero(coarse.open)).solve(dual=True)
    worth = replica_costs(formulation, objective).copy()
    used = np.zeros(len(offered), np.bool_)
    if solution.point is not None and solution.duals is not None:
        for place, item in enumerate(formulation.spec.configurations):
            if item.name in formulation.rows.capacity:
                worth[place] = max(worth[place], -solution.duals[formulation.rows.capacity[item.name]])
        used = solution.point[places[offered.columns]] > 0
    zones = np.where(offered.phases == BOTH, 0, offer_zones(formulation))
    groups = (offered.slices * len(PHASES) + offered.phases) * len(formulation.spec.zones) + zones
    costs = offered.within(objective) + offered.loads * worth[offered.configurations]
    used[least_of_groups(groups, costs, count)] = True
    return used


def least_of_groups(groups: Indices, costs: Vector, count: int) -> Indices:
    """Return the places of the `count` least of each group."""
    order = np.lexsort((costs, groups))
    ranked = groups[order]
    starts = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1])) if len(ranked) else order
    sizes = np.diff(np.append(starts, len(ranked)))
    return order[np.arange(len(ranked)) - np.repeat(starts, sizes) < count]


def _clusters(formulation: Formulation) -> Indices:
    """Return the cluster of each slice: neighbours by the first principal component of log costs."""
    spec, offered = formulation.spec, formulation.offered
    slices, configurations = len(spec.slices), len(spec.configurations)
    per_request = offer_costs(formulation) / offered.rates
    logs = np.log(np.maximum(per_request, 1e-12))
    logs -= _mean(offered.slices, logs, slices)[offered.slices]
    logs -= _mean(offered.configurations, logs, configurations)[offered.configurations]
    axis = np.cos(np.arange(configurations))
    score = np.zeros(slices)
    for _ in range(_POWER_STEPS):
        score = _sum(offered.slices, logs * axis[offered.configurations], slices)
        axis = _sum(offered.configurations, logs * score[offered.slices], configurations)
        axis /= max(float(np.abs(axis).max()), 1e-12)
    ranks = np.empty(slices, np.int64)
    ranks[np.argsort(score, kind="stable")] = np.arange(slices)
    return ranks * min(_CLUSTERS, slices) // slices


def _mean(groups: Indices, values: Vector, count: int) -> Vector:
    return _sum(groups, values, count) / np.maximum(np.bincount(groups, minlength=count), 1)


def _sum(groups: Indices, values: Vector, count: int) -> Vector:
    return np.bincount(groups, values, count).astype(np.float64)


def _with_penalties(
    formulation: Formulation, program: Program, objective: Vector, clusters: Indices
) -> tuple[Program, Vector]:
    """Let clusters be shed at some times what their dearest options cost: where the joint moves find no room."""
    spec, offered = formulation.spec, formulation.offered
    dearest = np.zeros(len(spec.slices))
    np.maximum.at(dearest, offered.slices, offer_costs(formulation))
    penalties = _PENALTY * _sum(clusters, dearest, len(spec.slices))[clusters] + 1.0
    upper, priced = program.upper.copy(), objective.copy()
    for place, item in enumerate(spec.slices):
        if item.name in formulation.shed:
            column = formulation.shed[item.name]
            upper[column], priced[column] = formulation.program.upper[column], penalties[place]
    return replace(program, upper=upper), priced


def _coarse(formulation: Formulation, program: Program, clusters: Indices) -> tuple[Program, Indices]:
    """Return the program with a cluster's options moved together, and the place of each column in it.

    Options that a member lacks are closed. The rows of one member stand for those of all.
    """
    offered, spec = formulation.offered, formulation.spec
    names = [item.name for item in spec.slices]
    rated = np.array([name in formulation.rows.cover for name in names])
    sizes = np.bincount(clusters[rated], minlength=len(spec.slices))
    leads = np.zeros(len(spec.slices), np.bool_)
    leads[np.flatnonzero(rated)[distinct(clusters[rated])[2]]] = True

    keys = (clusters[offered.slices] * len(PHASES) + offered.phases) * len(spec.configurations)
    joint, place, first = distinct(keys + offered.configurations)
    members = np.bincount(place)
    others = np.ones(program.columns, np.bool_)
    others[offered.columns] = False
    places = np.cumsum(others) - 1
    places[offered.columns] = np.count_nonzero(others) + place
    complete = members == sizes[joint // len(spec.configurations) // len(PHASES)]
    upper = np.where(complete, offered.within(program.upper)[first], 0.0)

    summed = np.zeros(len(program.row_lower), np.bool_)
    summed[list(formulation.rows.capacity.values())] = True
    speaks = np.ones(program.columns, np.bool_)
    speaks[offered.columns] = leads[offered.slices]
    chosen = summed[program.entry_rows] | speaks[program.entry_columns]
    rows, columns = program.entry_rows[chosen], places[program.entry_columns[chosen]]
    order = np.lexsort((columns, rows))
    rows, columns, values = rows[order], columns[order], program.entry_values[chosen][order]
    starts = np.flatnonzero(np.append(True, (np.diff(rows) != 0) | (np.diff(columns) != 0)))
    silent = [
        formulation.rows.cover[n]
        for n, leader, has in zip(names, leads, rated, strict=True)
        if has and not leader
    ]
    row_lower, row_upper = program.row_lower.copy(), program.row_upper.copy()
    row_lower[silent], row_upper[silent] = -np.inf, np.inf
    coarse = replace(
        program,
        lower=np.append(program.lower[others], np.zeros(len(joint))),
        upper=np.append(program.upper[others], upper),
        integer=np.zeros(np.count_nonzero(others) + len(joint), np.bool_),
        row_lower=row_lower,
        row_upper=row_upper,
        entry_rows=rows[starts],
        entry_columns=columns[starts],
        entry_values=np.add.reduceat(values, starts),
    )
    return coarse, places
