"""Simulation: what plans come to over time, and what one replica does request by request. Pure: tables out."""
