"""Recycle over years: when to keep, buy and retire hosts and accelerators, each on its own clock."""
