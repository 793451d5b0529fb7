"""Comparison: the same work on different hardware, in grams. Pure: names and terms come in, figures go out."""
