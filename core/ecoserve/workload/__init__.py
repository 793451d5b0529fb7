"""Workload: request lengths, daily profiles, and demand cut into slices."""
