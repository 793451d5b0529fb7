"""Every error the project raises on purpose: one root, one sentence each.

The shells turn these into a line on stderr with exit status 2, an HTTP answer or a condition on a
resource; so a message names the field, the value that was given and what is accepted instead.
"""

import difflib
import reprlib
from collections.abc import Iterable

_MOST_COMPARED = 2_000
"""Among more names than this the nearest are not sought: that would take longer than the work itself."""
_LONGEST_FIELD = 300

_shown = reprlib.Repr()
_shown.maxstring = _shown.maxother = 200
_shown.maxlevel = 2


class EcoserveError(Exception):
    """Root of all errors raised on purpose."""


class InvalidInputError(EcoserveError):
    """A value that a person or a signal supplied can't be used; however large, the sentence about it is short."""

    def __init__(self, field: str, value: object, accepted: str) -> None:
        self.field = field if len(field) <= _LONGEST_FIELD else f"{field[:_LONGEST_FIELD]}…"
        self.value = value
        self.accepted = accepted
        super().__init__(f"{self.field}: {_shown.repr(value)} is not accepted; {accepted}")

    def within(self, where: str) -> "InvalidInputError":
        """The same error with the object it was found in before its field."""
        return InvalidInputError(f"{where}: {self.field}", self.value, self.accepted)


class UnknownNameError(InvalidInputError):
    """A name refers to nothing that is known; the nearest known names are offered first."""

    def __init__(self, field: str, name: str, known: Iterable[str], shown: int = 6) -> None:
        names = sorted(set(known))
        few = len(names) <= _MOST_COMPARED and len(name) <= _LONGEST_FIELD
        nearest = difflib.get_close_matches(name, names, n=shown, cutoff=0.3) if few else []
        offered = (nearest + [other for other in names if other not in nearest])[:shown]
        more = f" and {len(names) - len(offered)} more" if len(names) > len(offered) else ""
        accepted = (
            f"known names are {', '.join(offered)}{more}" if offered else "nothing is known by name here"
        )
        self.known = tuple(names)
        super().__init__(field, name, accepted)


class MeasurementError(EcoserveError):
    """A measurement could not be made: what the other side did, and what to do about it."""
