"""Batch Jobs with a deadline: held when they are made, let go at the planned hour."""
