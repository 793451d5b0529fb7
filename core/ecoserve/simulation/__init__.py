"""Simulation: what plans come to over time. Pure: series come in, tables go out."""
