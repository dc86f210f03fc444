"""Looks at the codecs of a Zarr store before it is opened.

It is separate because it is a guard: one of the codecs that stores may name loads pickles, and
loading a pickle runs what its writer wrote. The files are read by hand, as opening decodes already.
"""

from __future__ import annotations

import json
import os
from typing import Any

from ...endpoints.local import source_error
from ...errors import EncodeError

_METADATA = (".zarray", ".zmetadata", "zarr.json")
_ATTRIBUTES = ("attributes", ".zattrs")  # are the writer's own and name no codecs
_LARGEST = 64 << 20


def check_codecs(path: str) -> None:
    """Look at the root group and its arrays.

    Raises:
        EncodeError: A codec would run code, or the metadata cannot be told.
        SourceError: The directory cannot be read.
    """
    try:
        with os.scandir(path) as entries:
            folders = [path, *(entry.path for entry in entries if entry.is_dir())]
        for folder in folders:
            for name in _METADATA:
                _check(os.path.join(folder, name))
    except OSError as error:
        raise source_error(error, path) from error


def _check(path: str) -> None:
    if not os.path.isfile(path):
        return
    with open(path, "rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise EncodeError(f"{path}: is larger than {_LARGEST} bytes")
    try:
        metadata = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise EncodeError(f"{path}: expected JSON ({error})") from None
    if _names_pickle(metadata):
        raise EncodeError(f"{path}: names the codec 'pickle'; pickles are never loaded")


def _names_pickle(metadata: Any) -> bool:
    waiting = [metadata]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if any(str(one.get(key)).rpartition(".")[2].lower() == "pickle" for key in ("id", "name")):
                return True
            waiting += (value for key, value in one.items() if key not in _ATTRIBUTES)
        elif isinstance(one, list):
            waiting += one
    return False
