"""What a caller requires of objects beyond the format: keys, a schema, an earlier listing.

It is separate from the checks, which know the format and nothing of anybody's wishes. A policy is a
function `(object, message-level keys) -> (code, text) of everything it has against it`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..endpoints import open_source
from ..errors import EncodeError
from ..messages.objects import DataObject
from .keys import MISSING, keys_of, text_of
from .records import plain
from .requirements import ObjectPolicy
from .select import where

_MOST_SHOWN = 3  # violations of one object
_PLACES = frozenset(
    {"_file", "_offset", "_payload_offset", "_status", "_length"}
)  # may differ between copies


def require(expression: str) -> ObjectPolicy:
    """Return the policy that each object has a key (`mars.step`), or one of some values (`mars.step=0/6`).

    Raises:
        ValueError: The expression cannot be understood.
    """
    if not any(char in expression for char in "=<>"):
        return lambda found, extra: _require_key(found, extra, expression)
    condition = where([expression])
    assert condition is not None
    key = expression.replace("!", "=").replace("<", "=").replace(">", "=").partition("=")[0].strip()

    def policy(found: DataObject, extra: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        keys = keys_of(found, file="", extra=extra)
        if not condition(keys):
            value = keys.get(key)
            shown = "missing" if value is MISSING else f"{text_of(value)[:80]}"
            yield "key_required", f"{key} is {shown}, required is {expression}"

    return policy


def _require_key(found: DataObject, extra: Mapping[str, Any], key: str) -> Iterator[tuple[str, str]]:
    if keys_of(found, file="", extra=extra).get(key) is MISSING:
        yield "key_required", f"{key} is missing"


def fits_schema(path: str) -> ObjectPolicy:
    """Return the policy that each object's metadata fits the JSON Schema in a file.

    The instance is the object's metadata as JSON, with `dtype`, `shape` and the other keys of its
    descriptor under their own names, and the message's keys as `_extra`.

    Raises:
        EncodeError: The file is no JSON Schema.
        SourceError: It cannot be read.
        ImportError: The package jsonschema is missing (the extra `schema`).
    """
    import jsonschema

    schema = _read_json(path)
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise EncodeError(f"{path}: is no JSON Schema: {error.message}") from None
    validator = kind(schema)

    def policy(found: DataObject, extra: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        keys = keys_of(found, file="", extra=extra)
        instance = plain({**keys.metadata, **keys.descriptor, "_extra": dict(extra)})
        errors = sorted(
            validator.iter_errors(instance), key=lambda error: list(map(str, error.absolute_path))
        )
        for error in errors[:_MOST_SHOWN]:
            place = ".".join(map(str, error.absolute_path)) or "the metadata"
            yield "schema_violation", f"{place}: {error.message[:200]}"
        if len(errors) > _MOST_SHOWN:
            yield "schema_violation", f"{len(errors) - _MOST_SHOWN} more violations"

    return policy


class Expected:
    """The objects that `tgmtool scan -j` listed of an earlier file, to be met again in their order.

    Args:
        path: The listing, JSON lines.

    Raises:
        EncodeError: It is no such listing.
        SourceError: It cannot be read.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._rows = [row for row in _read_lines(path) if "_obj" in row]
        self._seen = 0

    def policy(self, found: DataObject, extra: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Compare the next object with the next row; every key of the row must be met."""
        if self._seen >= len(self._rows):
            yield "unexpected_content", f"one more object than the {len(self._rows)} of {self._path}"
            return
        row = self._rows[self._seen]
        self._seen += 1
        record = plain(keys_of(found, file="", extra=extra).record())
        for key, value in row.items():
            if key not in _PLACES and record.get(key) != value:
                yield (
                    "unexpected_content",
                    f"{key} is {json.dumps(record.get(key))[:80]}, expected {json.dumps(value)[:80]}",
                )

    def missing(self) -> Iterator[tuple[str, str]]:
        """Yield what was expected and did not come. Ready for another file afterwards."""
        if self._seen < len(self._rows):
            yield (
                "unexpected_content",
                f"{self._seen} objects, expected the {len(self._rows)} of {self._path}",
            )
        self._seen = 0


def _read_json(path: str) -> Any:
    try:
        return json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise EncodeError(f"{path}: is no JSON: {error}") from None


def _read_lines(path: str) -> Sequence[Mapping[str, Any]]:
    rows = []
    for number, line in enumerate(_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise EncodeError(f"{path}: line {number} is no JSON: {error}") from None
        if not isinstance(row, dict):
            raise EncodeError(f"{path}: line {number}: expected a JSON map, as scan -j prints them")
        rows.append(row)
    return rows


def _text(path: str) -> str:
    source = open_source(path)
    try:
        held = bytearray()
        while chunk := source.read_at(len(held), 1 << 20):
            held += chunk
            source.keep_from(len(held))
        return held.decode()
    except UnicodeDecodeError as error:
        raise EncodeError(f"{path}: is no text: {error}") from None
    finally:
        source.close()
