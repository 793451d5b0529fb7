"""Carrying a plan out: what should run, the order that keeps capacity up, and the thin part that writes."""
