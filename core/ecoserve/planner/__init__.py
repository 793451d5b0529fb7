"""The planner: from a snapshot of supply, demand and grid to a plan with its reasons.

Import from the modules; nothing is re-exported here, because the solver must stay out of processes that only
read plans. What callers use:

    fleet.nodes       node_facts(manifest: Mapping, requested: Resources | None = None) -> NodeFacts
                      Resources(gpu, cpu, memory_gib); NodeFacts(name, labels, allocatable, requested, ready, schedulable, taints)
    fleet.assemble    serving_demand(serving: LLMServing, catalog: Catalog, now: datetime) -> ServingDemand
                          raises InvalidInputError for that serving alone; name is "namespace/name"
                      ZoneReading(grid: GridZone, grams_per_kwh: float, stale=False, accounting=UNSTATED)
                      assemble_snapshot(servings: Iterable[ServingDemand], nodes: Iterable[NodeFacts],
                          zones: Iterable[ZoneReading], profiles: Sequence[HardwareProfile], catalog: Catalog,
                          now: datetime, held: Mapping[str, int] | None = None) -> Snapshot
                      with_intensity(snapshot, {zone: grams_per_kwh}) -> Snapshot
    fleet.pools       Pool(name, zone, instance, supply, installed, lifetimes, node_names, node_resources, selector,
                          profile, stated_years, shapes, ordered, taints, part_of): .shapes can be ordered, .ordered is what
                          the plan counts with; .part_of is the pool of which it is what others left on nodes in use
                      UnknownNode(name, reason)
    planner.levers    Lever, ALL_LEVERS, levers_without(["reduce", …]) -> frozenset[Lever]
    planner.build     SearchEffort(relative_gap=…, time_limit_seconds=…)
                      build_problem(snapshot, objective, levers, effort) -> Problem (.instance, .configurations, …)
                      .estimated: configurations whose capacities are estimates; no plan uses one (planner.screening)
    planner.plan      make_plan(snapshot, *, objective: Objective | None = None, levers=ALL_LEVERS, effort=None,
                          carbon_price_per_tonne=0.0, reasons=True) -> Plan
                          never raises for what can't be served: see Plan.unserved (reason enum + sentence)
                      Plan(.placements, .pools, .unserved, .zones, .recommendations, .reuse, totals, .bounds, .gap,
                           .solved, .instances, .explanation)
    planner.placement  Placement(.configuration is the key of `held`; .scheduling_class, not .traffic_class, is the class
                          of its pods: offline only on cores), PoolUse
    planner.explained  explained(plan) -> Plan with .explanation: margins of slices, servings and pools, what binds
    planner.follow     KeptPlan(snapshot, plan): .differs_in_intensity_only(snapshot), .at(snapshot) -> Followed(.plan, .excess)
    planner.design_points  compare(snapshot, *, levers, effort, carbon: Plan | None, progress) -> DesignPoints
                      .plans[Objective], .carbon, .saved_share(Objective.COST), .alternatives
                      with_alternatives(points, snapshot, *, levers, effort) -> DesignPoints
    planner.effects    measure_effects(snapshot, *, levers, effort, full: Plan | None, progress) -> LeverEffects
                      .plans[frozenset of levers], .saved_share(levers), .lost_share(lever)
    planner.sweep     sweep(snapshot, cases, *, over, levers, effort, progress) -> Sweep: does the decision change?
                      cases of coefficient_cases(snapshot), lifetime_cases(snapshot)
    planner.horizon   plan_horizon(intervals, waiting=None, *, memory, before: Plan | None) -> Schedule of offline work;
                      intervals come of planner.outlook.Outlook
    planner.starting  best_start(now, deadline, duration | None, {zone: Forecast}) -> Start of one held Job
    planner.pareto    pareto_front(snapshot, *, levers, effort, most_plans, progress) -> tuple[FrontPoint, …]
    planner.document  placement_plan_spec(plan, design_points=(), *, placements=None) -> PlacementPlanSpec
                      design_point_rows(design_points) -> tuple[api DesignPoint, …]
    planner.instance  load_instance(path), parse_instance(document) -> PlanningInstance; PlanningResult.document()
    planner.solver    solve(instance) -> PlanningResult (.marginals: prices of slices, replicas and nodes, and what
                      binds; .churn: replicas moved against `held`, within `churnBudget` where load allows)
    planner.tick      HeldPlan(instance, result).reroute({zone: grams_per_kwh}) -> Rerouted: replicas stay, load moves;
                      .lower_bound({zone: grams_per_kwh}) -> gCO2e/h that no new plan can be below
    cli.sources       read_sources(paths, intensities=(), *, needs_servings=True) -> Sources; .snapshot_at(time) -> Snapshot
    simulation.day    simulate_day(snapshot_at, start, *, hours=24, levers, effort, progress(done, total)) -> Day
    simulation.deferral  simulate_deferral(actual: Outlook, start, *, expected, hours, horizon_hours, …) -> Deferral
Beside the planner: performance.capacity.replica_capacity, refresh.plan.plan_refresh,
comparison.accelerators.compare_accelerators, carbon.account.
"""
