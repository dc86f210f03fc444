"""A record as JSON: what every `-j` line, report and state file is made of.

It is separate so that no command writes NaN, bytes or large integers in a way of its own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from .keys import MISSING, text_of

_LARGEST_EXACT = 1 << 53


def plain(value: Any) -> Any:
    """Return `value` as JSON can hold it: no NaN, bytes as hex, integers beyond 2^53 as text."""
    if value is MISSING or value is None or isinstance(value, str | bool):
        return None if value is MISSING else value
    if isinstance(value, int):
        return value if -_LARGEST_EXACT <= value <= _LARGEST_EXACT else text_of(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return text_of(value)


def json_text(value: Any) -> str:
    """Return one line of JSON, ASCII only."""
    return json.dumps(plain(value), separators=(",", ":"), allow_nan=False)
