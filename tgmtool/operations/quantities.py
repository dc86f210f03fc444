"""Sizes and durations as people write them: `64MiB`, `10s`.

It is separate from the command line because the stages of a pipeline are written with them too, also by
users of the library.
"""

from __future__ import annotations

import re

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgtp]?)(i?)b?", re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|)")
_SECONDS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def size(text: str) -> int:
    """Return the bytes that `64M`, `64MiB` (2^20) or `1.5GB` (10^9) are; M alone is 2^20.

    Raises:
        ValueError: It is no size.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no size, expected for example 64M, 64MiB or 1.5GB")
    number, unit, binary = found.groups()
    decimal = text.strip().lower().endswith("b") and unit and not binary
    base = 1000 if decimal else 1024
    return int(float(number) * base ** " kmgtp".index(unit.lower() or " "))


def duration(text: str) -> float:
    """Return the seconds that `500ms`, `10s`, `2m` or `1h` are; a bare number is seconds.

    Raises:
        ValueError: It is no duration.
    """
    found = _DURATION.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError(f"{text!r} is no duration, expected for example 500ms, 10s, 2m or 1h")
    return float(found[1]) * _SECONDS[found[2]]
