"""Providers of grid intensity: a pure parser and a small client each, behind one port (`port.Provider`).

All normalise to gCO2e/kWh in UTC. `http` holds what every client must do (limits, errors), `follow` when they are
asked, `build` which of them a GridZone names.
"""
