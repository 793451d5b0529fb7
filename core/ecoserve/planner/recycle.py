"""Recycle: hosts and accelerators are written off over lifetimes of their own, from the day they were installed.

Embodied carbon is spread evenly over the calendar: over the planned lifetime, or over the actual age once the
hardware outlives it. So keeping a host longer lowers its grams per hour, without a jump at the planned end, and
old hardware never counts as free. When to replace it is `ecoserve.refresh`'s question, over years.

Without the lever hosts and accelerators are replaced together, when the first of them is due, and after four
years at most: nothing is kept longer, so turning the lever off never counts less carbon.
"""

from datetime import date

from ecoserve.carbon import Amortisation, AmortisationMethod, Lifetimes
from ecoserve.fleet.pools import Pool
from ecoserve.planner.levers import Lever

_DAYS_PER_YEAR = 365.25


def effective_lifetimes(pool: Pool, today: date, levers: frozenset[Lever]) -> Lifetimes:
    """Return the years over which a pool's hosts and accelerators count."""
    if Lever.RECYCLE not in levers:
        default = Lifetimes()
        own = [pool.lifetimes.host_years, default.host_years]
        if pool.instance.accelerator is not None:
            own += [pool.lifetimes.accelerator_years, default.accelerator_years]
        together = min(own)
        return Lifetimes(host_years=together, accelerator_years=together)
    age_years = 0.0
    if pool.installed is not None:
        age_years = (today - date.fromisoformat(pool.installed)).days / _DAYS_PER_YEAR
    age_years = max(0.0, age_years)  # installed after today: as good as new
    return Amortisation(
        lifetimes=pool.lifetimes,
        method=AmortisationMethod.AGE,
        host_age_years=age_years,
        accelerator_age_years=age_years,
    ).effective
