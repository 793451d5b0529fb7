"""Every error the project raises on purpose: one root, one sentence each.

The shells turn these into a line on stderr with exit status 2, an HTTP answer or a condition on a
resource; so a message names the field, the value that was given and what is accepted instead.
"""

import difflib
from collections.abc import Iterable


class EcoserveError(Exception):
    """Root of all errors raised on purpose."""


class InvalidInputError(EcoserveError):
    """A value that a person or a signal supplied can't be used."""

    def __init__(self, field: str, value: object, accepted: str) -> None:
        self.field = field
        self.value = value
        self.accepted = accepted
        super().__init__(f"{field}: {value!r} is not accepted; {accepted}")

    def within(self, where: str) -> "InvalidInputError":
        """The same error with the object it was found in before its field."""
        return InvalidInputError(f"{where}: {self.field}", self.value, self.accepted)


class UnknownNameError(InvalidInputError):
    """A name refers to nothing that is known; the nearest known names are offered first."""

    def __init__(self, field: str, name: str, known: Iterable[str], shown: int = 6) -> None:
        names = sorted(set(known))
        nearest = difflib.get_close_matches(name, names, n=shown, cutoff=0.3)
        offered = (nearest + [other for other in names if other not in nearest])[:shown]
        more = f" and {len(names) - len(offered)} more" if len(names) > len(offered) else ""
        accepted = (
            f"known names are {', '.join(offered)}{more}" if offered else "nothing is known by name here"
        )
        self.known = tuple(names)
        super().__init__(field, name, accepted)
