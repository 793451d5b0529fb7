"""Signals from outside the cluster's own objects: what the grid emits now, and how far it can be trusted."""
