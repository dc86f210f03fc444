"""Which objects are meant: the `-w` expression.

It is separate because it is a small language of its own: `mars.param=2t/10u,mars.step<=24`.
Conditions are joined by commas (all must hold); several values by slashes (one must match). A
value may be a MARS range (`0/to/240/by/6`) or a glob (`1*`). Numbers compare as numbers (06 = 6). A
missing key fails `=` and passes `!=`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from .keys import MISSING, Keys, text_of

Condition = Callable[[Keys], bool]
_OPERATORS = ("!=", "<=", ">=", "=", "<", ">")  # longer ones first
_WHOLE = re.compile(r"[+-]?\d{1,400}")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_RANGE_LIMIT = 10_000_000


def where(expressions: Sequence[str]) -> Condition | None:
    """Return the test that all `expressions` together make; None if there are none.

    Raises:
        ValueError: An expression cannot be understood; says which part.
    """
    tests = [test for expression in expressions for test in _conditions(expression)]
    if not tests:
        return None
    return lambda keys: all(test(keys) for test in tests)


def _conditions(expression: str) -> list[Condition]:
    return [_condition(part.strip(), expression) for part in expression.split(",") if part.strip()]


def _condition(part: str, whole: str) -> Condition:
    places = [(part.index(op), -len(op), op) for op in _OPERATORS if op in part]
    if not places:
        raise ValueError(f"{whole!r}: {part!r} has no operator, expected key=value, or one of != < <= > >=")
    at, _, op = min(places)
    key, text = part[:at].strip(), part[at + len(op) :].strip()
    if not key:
        raise ValueError(f"{whole!r}: {part!r} has no key before {op}")
    if op in {"=", "!="}:
        matches = _matcher(text, whole)
        wanted = op == "="
        return lambda keys: matches(keys.get(key)) == wanted
    return _comparison(key, op, text, whole)


def _comparison(key: str, op: str, text: str, whole: str) -> Condition:
    if "/" in text:
        raise ValueError(f"{whole!r}: {op} takes one value, found {text!r}")
    bound = _number(text)

    def holds(keys: Keys) -> bool:
        value = keys.get(key)
        if value is MISSING or value is None:
            return False
        number = _number(value)
        if bound is not None and number is not None:
            order = (number > bound) - (number < bound)
        else:
            said = text_of(value)
            order = (said > text) - (said < text)
        return {"<": order < 0, "<=": order <= 0, ">": order > 0, ">=": order >= 0}[op]

    return holds


def _matcher(text: str, whole: str) -> Callable[[Any], bool]:
    values = text.split("/")
    lowered = [value.lower() for value in values]
    if "to" in lowered and len(values) in {3, 5}:
        return _range(values, lowered, whole)
    tests = [_one(value) for value in values]

    def matches(value: Any) -> bool:
        if value is MISSING:
            return False
        if isinstance(value, list | tuple):
            # A list is the value itself (shape=721/1440), or holds one of the values (shape=721).
            return text_of(value) == text or any(test(inner) for inner in value for test in tests)
        return any(test(value) for test in tests)

    return matches


def _one(text: str) -> Callable[[Any], bool]:
    number = _number(text)
    if any(char in text for char in "*?["):
        return lambda value: fnmatchcase(text_of(value), text)

    def same(value: Any) -> bool:
        other = _number(value) if number is not None else None
        return other == number if other is not None else text_of(value) == text

    return same


def _range(values: list[str], lowered: list[str], whole: str) -> Callable[[Any], bool]:
    first, last = _number(values[0]), _number(values[2])
    step: float | None = 1
    if len(values) == 5:
        step = _number(values[4]) if lowered[3] == "by" else None
    if first is None or last is None or not step or lowered[1] != "to":
        raise ValueError(f"{whole!r}: {'/'.join(values)!r} is no range, expected A/to/B or A/to/B/by/C")
    low, high = min(first, last), max(first, last)
    if (high - low) / abs(step) > _RANGE_LIMIT:
        raise ValueError(f"{whole!r}: a range of more than {_RANGE_LIMIT} values")

    def inside(value: Any) -> bool:
        number = _number(value)
        if number is None or not low <= number <= high:
            return False
        steps = (number - first) / step
        return math.isclose(steps, round(steps), abs_tol=1e-9)

    return inside


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        return None
    if _WHOLE.fullmatch(value):
        return int(value)  # exact, however large
    found = float(value)
    return found if math.isfinite(found) else None
