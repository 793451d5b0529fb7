"""Times as people, files and other programs write them; inside, every time carries UTC."""

from datetime import UTC, datetime

from ecoserve.errors import InvalidInputError


def parse_utc(text: str, field: str) -> datetime:
    """Return an ISO 8601 time in UTC, which is assumed where it names no zone.

    Raises InvalidInputError that names `field`.
    """
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InvalidInputError(field, text, "an ISO 8601 time such as 2026-06-01T14:00:00Z") from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def written_utc(time: datetime) -> str:
    """Return a time in UTC as APIs write it, to the second: 2026-06-01T14:00:00Z."""
    return time.replace(microsecond=0).isoformat().replace("+00:00", "Z")
