"""How many examples a property is tried on: one way for all tests, so that a profile of hypothesis counts for each."""

from hypothesis import HealthCheck, settings

_DEFAULT = 100
"""What counts in the tests are of: a profile of so many examples takes them as they stand."""


def examples(count: int, *suppressed: HealthCheck) -> settings:
    """Return settings of `count` examples, as many times more as the profile has; `suppressed` are added to its own."""
    profile = settings.default
    return settings(
        profile,
        max_examples=max(1, count * profile.max_examples // _DEFAULT),
        suppress_health_check=(*profile.suppress_health_check, *suppressed),
    )
