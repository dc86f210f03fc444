"""The corpus: every verdict is the one that its manifest asks for, inside its ceilings of memory and time."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import tgmtool
from tests.hostile.conftest import Corpus
from tests.hostile.corpus import Row, is_soak
from tests.processes import run
from tgmtool import Message, TgmError
from tgmtool.operations.findings import CODES, ERROR, NOTE, WARNING, Finding, Report
from tgmtool.operations.validate import validate

VERDICTS = {"invalid": "error", "incomplete": "incomplete", "unchecked": "limit"}

# Files that we judge otherwise than the manifest, and why.
ARGUED = {
    "V32-empty-file": ("error", "an empty artefact is a mistake, unless --allow-empty says that it is none"),
    "P07-flag-extra-PRECEDER": (
        "ok",
        "the reference's streaming writer always sets the flag, and what it writes is clean under --strict",
    ),
}

# The manifest's words for a fault, and our codes for it.
RELATIVES = {
    "": set(),
    "backfill_incomplete": {"backfill_incomplete"},
    "base_count": {"base_count_exceeds_objects"},
    "bitmask_tail": {"bitmask_tail"},
    "cbor_depth": {"limit_exceeded"},
    "cbor_duplicate_key": {"duplicate_cbor_key"},
    "cbor_items": {"limit_exceeded"},
    "cbor_noncanonical": {"metadata_cbor_non_canonical"},
    "cbor_offset": {"cbor_offset_invalid"},
    "cbor_trailing": {"trailing_cbor"},
    "cbor_unusual_simple": {"unusual_cbor"},
    "descriptor": {
        "descriptor_invalid", "ndim_shape_mismatch", "strides_shape_mismatch", "shape_overflow",
        "unknown_encoding", "unknown_filter", "unknown_compression", "empty_obj_type",
        "descriptor_cbor_parse_failed", "decode_pipeline_failed",
    },
    "descriptor_cbor": {"descriptor_cbor_parse_failed"},
    "duplicate_frame": {"duplicate_frame"},
    "embedded_messages": {"incomplete_tail"},
    "end_magic_missing": {"postamble_invalid", "invalid_frame_header", "total_length_invalid"},
    "first_footer_offset": {"footer_offset_mismatch", "footer_offset_out_of_range"},
    "flag_mismatch": {"flag_mismatch", "flag_superfluous"},
    "frame_end_marker": {"missing_end_marker"},
    "frame_length": {"frame_exceeds_message", "frame_too_small", "frame_length_overflow"},
    "frame_magic": {"invalid_frame_header"},
    "frame_order": {"frame_order_unusual", "frame_order_violation"},
    "frame_type": {"invalid_frame_header"},
    "frame_version": {"frame_version"},
    "gap": {"foreign_bytes"},
    "hash_frame_mismatch": {"hash_frame_mismatch", "hash_frame_count_mismatch", "hash_frame_spelling"},
    "hash_mismatch": {"hash_mismatch"},
    "hash_missing": {"hash_missing", "hash_partial"},
    "index_cbor": {"index_cbor_parse_failed"},
    "index_count": {"index_count_mismatch"},
    "index_length": {"index_length_mismatch"},
    "index_offset": {"index_offset_mismatch"},
    "limit_decoded_bytes": {"limit_exceeded"},
    "limit_ndim": {"limit_exceeded"},
    "mask": {"mask_invalid", "decoded_size_mismatch"},
    "mask_dtype": {"mask_invalid"},
    "mask_overlap": {"mask_overlap"},
    "metadata_cbor": {"metadata_cbor_parse_failed"},
    "metadata_diverges": {"metadata_diverges"},
    "metadata_missing": {"no_metadata_frame"},
    "no_hash": {"no_hash_available"},
    "no_message": {"foreign_bytes"},
    "nonfinite": {"inf_detected", "nan_detected"},
    "padding": {"non_zero_padding", "excess_padding"},
    "postamble_mismatch": {"postamble_invalid"},
    "preceder_base": {"preceder_base_count_wrong"},
    "preceder_dangling": {"preceder_not_followed_by_object", "dangling_preceder"},
    "preceder_reserved": {"preceder_reserved"},
    "reserved_flag": {"reserved_flag"},
    "reserved_nonzero": {"reserved_nonzero"},
    "size_mismatch": {"decoded_size_mismatch", "decode_pipeline_failed"},
    # Damage is proven where the torn message stops: that is said, and that the bytes are of no message.
    "torn_message": {"missing_end_marker", "invalid_frame_header"},
    "total_length_invalid": {"total_length_invalid", "total_length_too_small", "total_length_overflow"},
    "trailing_bytes": {"foreign_bytes"},
    "truncated": {"incomplete_tail"},
    "unaligned": {"unaligned_frame"},
    "unknown_hash_algorithm": {"unknown_hash_algorithm"},
    "unsupported_version": {"unsupported_version"},
    "zero_tail": {"zero_tail"},
}  # fmt: skip


# Valid, and yet not to be had as an array: NumPy has no shape [0, 2^62], empty as it is.
NOT_HELD = {"D09-shape-zero-huge"}


def judged(found: Report) -> str:
    """The verdict in the manifest's words."""
    if found.verdict != "valid":
        return VERDICTS[found.verdict]
    return "warn" if any(one.weight == WARNING for one in found.findings) else "ok"


def expected(row: Row) -> str:
    return ARGUED[row.id][0] if row.id in ARGUED else row.verdict


def is_heavy(row: Row) -> bool:
    """It is looked at in a process of its own."""
    return "bomb" in row.tags


def light(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if not is_heavy(row)]


def level_of(row: Row) -> str:
    return "full" if "full" in row.tags else "default"


def test_every_relative_is_one_of_our_codes() -> None:
    assert set().union(*RELATIVES.values()) <= CODES.keys()


def test_what_is_argued_is_still_in_the_corpus(hostile: Corpus) -> None:
    assert ARGUED.keys() <= hostile.rows.keys()


def test_every_verdict_is_as_the_manifest_says(hostile: Corpus) -> None:
    wrong = []
    for row in light(hostile.rows.values()):
        report = validate(str(hostile.path(row.id)), level=level_of(row))
        if judged(report) != expected(row):
            wrong.append((row.id, expected(row), judged(report), report.findings[:3]))
    assert wrong == []


def test_every_fault_is_called_by_a_relative_of_its_name(hostile: Corpus) -> None:
    wrong = []
    for row in light(hostile.rows.values()):
        report = validate(str(hostile.path(row.id)), level=level_of(row))
        codes = {found.code for found in report.findings}
        if row.id not in ARGUED and row.code and not codes & RELATIVES[row.code]:
            wrong.append((row.id, row.code, codes))
    assert wrong == []


def test_whole_messages_are_counted_whatever_stands_around_them(hostile: Corpus) -> None:
    for row in light(hostile.rows.values()):
        for level in ("quick", "default"):
            report = validate(str(hostile.path(row.id)), level=level)
            # S07's are whole but for their metadata; its row counts those that are right.
            assert report.messages == row.messages or row.id.startswith("S07"), row.id


def test_every_finding_has_a_text_and_a_place(hostile: Corpus) -> None:
    for row in light(hostile.rows.values()):
        size = hostile.path(row.id).stat().st_size
        for found in validate(str(hostile.path(row.id)), level="full").findings:
            assert found.text, row.id
            assert len(found.text) < 1000, row.id
            if found.code == "codec_unavailable":
                continue
            assert found.offset is not None or found.code in {"suppressed", "limit_exceeded"}, (row.id, found)
            assert found.offset is None or 0 <= found.offset <= size, (row.id, found)


def test_more_care_finds_no_less(hostile: Corpus) -> None:
    for row in light(hostile.rows.values()):
        levels = ("quick", "checksum", "default", "full")
        reports = [validate(str(hostile.path(row.id)), level=level) for level in levels]
        found = [{one.code for one in report.findings if one.weight == ERROR} for report in reports]
        for less, more in pairwise(found):
            assert less <= more, row.id


def test_what_is_valid_decodes_and_what_is_not_says_so(hostile: Corpus) -> None:
    for row in light(hostile.rows.values()):
        error = ""
        try:
            for found in tgmtool.read(str(hostile.path(row.id)), on_damage="skip"):
                if isinstance(found, Message):
                    for one in found.objects:
                        one.array  # noqa: B018  # decodes
        except TgmError as caught:
            error = str(caught)
        if expected(row) in {"ok", "warn"} and row.id not in NOT_HELD:
            assert error == "", row.id


@pytest.mark.parametrize("name", ["Z01", "Z05", "Z12", "M17", "Z03", "Z19"])
def test_a_bomb_does_not_go_off(name: str, hostile: Corpus) -> None:
    (row,) = (row for row in hostile.rows.values() if row.id.startswith(name))
    found = in_child(hostile.path(row.id))
    assert found["verdict"] == expected(row)
    assert found["megabytes"] <= row.megabytes
    assert found["seconds"] <= 6 * row.seconds  # of processor time; machines differ


def test_no_bomb_of_all_goes_off(hostile: Corpus) -> None:
    """All in one process: what one of them leaves behind counts too."""
    rows = [row for row in hostile.rows.values() if is_heavy(row) and row.megabytes <= 256]
    found = in_child(*(hostile.path(row.id) for row in rows))
    assert found["verdicts"] == [expected(row) for row in rows]
    assert found["megabytes"] <= 256 + 64


_CHILD = """
import json, resource, sys
from tests.hostile.test_verdicts import judged
from tgmtool.operations.validate import validate
resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
verdicts = [judged(validate(name)) for name in sys.argv[1:]]
usage = resource.getrusage(resource.RUSAGE_SELF)
with open("/proc/self/status") as status:  # ru_maxrss counts what the parent had when it forked, too
    (peak,) = (int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
used = {"megabytes": peak >> 10, "seconds": usage.ru_utime + usage.ru_stime}
print(json.dumps({"verdict": verdicts[0], "verdicts": verdicts, **used}))
"""


def in_child(*paths: Path) -> dict[str, Any]:
    """What validation says, and what it costs, in a process of its own."""
    root = str(Path(__file__).parents[2])
    done = run((sys.executable, "-c", _CHILD, *map(str, paths)), env={"OPENBLAS_NUM_THREADS": "1"}, cwd=root)
    assert done.status == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


def test_notes_are_never_counted() -> None:
    report = Report("x", "valid", (Finding("no_hash_available", "…"),))
    assert [one.weight for one in report.findings] == [NOTE]
    assert judged(report) == "ok"


@pytest.mark.soak
def test_the_largest_files_stay_inside_their_ceilings(
    hostile: Corpus, request: pytest.FixtureRequest
) -> None:
    if not is_soak(request.config.getoption("-m")):
        pytest.skip("some minutes; pytest -m soak runs it")
    wrong = []
    for row in hostile.rows.values():
        if row.megabytes > 1000 or hostile.path(row.id).stat().st_size < 1 << 16:
            continue
        found = in_child(hostile.path(row.id))
        size = hostile.path(row.id).stat().st_size >> 20
        if found["verdict"] != expected(row) or found["megabytes"] > row.megabytes + size:
            wrong.append((row.id, found))
    assert wrong == []
