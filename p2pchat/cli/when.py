"""Times as people write them."""

import re
import time
from datetime import datetime, timedelta

from p2pchat.errors import BadInput

__all__ = ["since"]

_UNITS = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def since(text: str, now: float | None = None) -> float:
    """`30m`, `2h`, `3d`, `today`, `yesterday`, a date or an RFC 3339 time, as Unix seconds.

    Dates are local. Raises errors.BadInput `time-malformed`.
    """
    now = time.time() if now is None else now
    text = text.strip().lower()
    if match := re.fullmatch(r"(\d{1,6})\s*([mhdw])", text):
        return now - int(match[1]) * _UNITS[match[2]]
    midnight = (
        datetime.fromtimestamp(now)
        .astimezone()
        .replace(  # local on purpose
            hour=0, minute=0, second=0, microsecond=0
        )
    )
    if text == "today":
        return midnight.timestamp()
    if text == "yesterday":
        return (midnight - timedelta(days=1)).timestamp()
    try:
        return datetime.fromisoformat(text.upper()).astimezone().timestamp()
    except (ValueError, OverflowError, OSError):
        raise BadInput(
            "time-malformed",
            f"{text!r} is no time",
            "write 5m, 2h, 3d, 1w, today, yesterday, 2026-01-31 or 2026-01-31T18:00",
        ) from None
