"""Telling what was decided and done: conditions, statuses, the PlacementPlan, events and metrics."""
