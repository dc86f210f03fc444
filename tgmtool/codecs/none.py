"""The stage that does nothing, in every kind: it says so in one place."""

from __future__ import annotations

from typing import Any

from ..errors import PayloadError
from .base import Bytes, Job, Parts, Stage


def _encode(data: Bytes, _job: Job) -> tuple[Bytes, dict[str, Any]]:
    return data, {}


def _decode(data: Bytes, _size: int, _job: Job) -> Bytes:
    return data


def _parts(encoded: Parts, size: int, _job: Job) -> Parts:
    if encoded.size != size:
        raise PayloadError(f"the payload holds {encoded.size} bytes, expected {size}")
    return encoded


STAGE = Stage(_encode, _decode, parts=_parts)
