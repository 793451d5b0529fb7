"""The demonstration: a day of carbon-aware placement on a real control plane, in a few minutes.

`stage` starts the cluster and installs the chart, `observation` reads what happens, `screen` draws it, `closing`
ends with what was decided and what it saved. Only the passing of time and the insides of pods are simulated.
"""
