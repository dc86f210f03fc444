"""The public names: few, documented, and free until they are used."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module

import pytest

import tgmtool

ERRORS = (
    *("TgmError", "FormatError", "FramingError", "TruncatedError", "MetadataError", "DigestMismatch"),
    *("PayloadError", "EncodeError", "CodecUnavailable", "LimitExceeded", "SourceError"),
    *("CannotResume", "StageFailed"),
)
VALUES = (
    *("DataObject", "FrameSpan", "Gap", "Limits", "Message", "MessageSpan", "Metadata", "Notice"),
    *("ObjectSpan", "Provenance", "Style", "TimeLimit", "Elements", "Finding", "Policy", "Report"),
    *("LengthPlan", "SalvagePlan", "Stream", "PipeChoices", "PipeReport"),
)
VERBS = (
    "atail",
    "backfill",
    "decode",
    "decode_range",
    "encode",
    "pipeline",
    "read",
    "salvage",
    "scan",
    "tail",
    "validate",
    "write",
)
TOOLS = ("MemorySink", "MemorySource", "ScriptedSource", "StreamWriter")
PUBLIC = sorted({*ERRORS, *VALUES, *VERBS, *TOOLS})

# What takes its time to import, and what only the command line needs.
HEAVY = (
    *("numpy", "zstandard", "xxhash", "cbor2", "ml_dtypes", "fsspec", "s3fs", "watchfiles", "typer", "rich"),
    *("asyncio", "ctypes", "json", "uuid", "tempfile", "tgmtool.cli", "tgmtool.wire", "tgmtool.codecs"),
)


def test_the_public_names_are_these() -> None:
    assert sorted(tgmtool.__all__) == PUBLIC
    assert len(set(tgmtool.__all__)) == len(tgmtool.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_resolves_and_says_what_it_is(name: str) -> None:
    found = getattr(tgmtool, name)
    assert found.__name__ == name
    assert inspect.getdoc(found)
    assert name in dir(tgmtool)
    home = import_module(found.__module__)
    assert found.__module__.startswith("tgmtool.")
    assert getattr(home, name) is found


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_method_and_property_says_what_it_does(name: str) -> None:
    found = getattr(tgmtool, name)
    if not inspect.isclass(found):
        return
    silent = [
        attribute
        for attribute, value in vars(found).items()
        if not attribute.startswith("_")
        and (inspect.isfunction(value) or isinstance(value, property | classmethod | staticmethod))
        and not inspect.getdoc(getattr(found, attribute))
    ]
    assert silent == []


def test_every_error_is_of_one_tree_and_of_the_family_that_python_knows() -> None:
    assert all(issubclass(getattr(tgmtool, name), tgmtool.TgmError) for name in ERRORS)
    for name, family in {
        "FormatError": ValueError,
        "FramingError": tgmtool.FormatError,
        "TruncatedError": EOFError,
        "MetadataError": tgmtool.FormatError,
        "DigestMismatch": tgmtool.FormatError,
        "PayloadError": tgmtool.FormatError,
        "EncodeError": ValueError,
        "SourceError": OSError,
    }.items():
        assert issubclass(getattr(tgmtool, name), family)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'tgmtool' has no attribute 'decrypt'"):
        _ = tgmtool.decrypt
    assert not hasattr(tgmtool, "operations_that_are_not_there")


def test_all_public_names_can_be_taken_at_once() -> None:
    taken: dict[str, object] = {}
    exec("from tgmtool import *", taken)
    assert set(PUBLIC) <= taken.keys()


def test_the_version_is_that_of_the_distribution() -> None:
    from importlib.metadata import version

    assert tgmtool.__version__ == version("tgmtool")


def modules_after(statement: str) -> set[str]:
    code = f"import sys; before = set(sys.modules); {statement}; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_imports_nothing_heavy() -> None:
    assert modules_after("import tgmtool") & set(HEAVY) == set()


def test_errors_and_limits_come_without_anything_heavy_too() -> None:
    found = modules_after("import tgmtool; tgmtool.FormatError, tgmtool.Limits, tgmtool.MemorySource")
    assert found & set(HEAVY) == set()


def test_listing_messages_needs_no_numpy_and_no_codec() -> None:
    found = modules_after("import tgmtool; list(tgmtool.scan(b'', unit='message'))")
    assert found & {"numpy", "zstandard", "cbor2", "typer", "rich", "fsspec"} == set()
