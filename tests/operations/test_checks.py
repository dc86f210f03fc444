"""Every issue code, and input that triggers it and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from struct import pack
from typing import Any

import numpy as np
import pytest

from tests import builders
from tests.builders import (
    FOOTER_METADATA,
    HEADER_HASHES,
    HEADER_INDEX,
    HEADER_METADATA,
    PRECEDER,
    frame,
    tensor,
)
from tests.hostile import make_hostile
from tests.operations.streams import buffered, streaming
from tests.vectors import Vector, valid_vectors
from tgmtool.errors import FormatError
from tgmtool.limits import Limits
from tgmtool.operations.checks import described as described_error
from tgmtool.operations.compare import differences
from tgmtool.operations.findings import CODES, NOTE, TABLE, Finding
from tgmtool.operations.policies import require
from tgmtool.operations.requirements import Policy
from tgmtool.operations.stream_policy import StreamPolicy
from tgmtool.operations.validate import LEVELS, validate

_hostile: Any = make_hostile
CORPUS = {one.id: one for one in _hostile.cases()}
WHOLE = buffered(range(2))
FREE = Policy()
METADATA = frame(HEADER_METADATA, builders.cbor({}))


def corpus(name: str) -> Callable[[], Sequence[Finding]]:
    return lambda: found(CORPUS[name].make(), "full")


def found(data: bytes, level: str = "full", policy: Policy = FREE, **options: Any) -> Sequence[Finding]:
    return validate(data, level=level, policy=policy, **options).findings


def message(*frames: bytes, **options: Any) -> Callable[[], Sequence[Finding]]:
    """A message of these frames."""
    return lambda: found(builders.message_of(frames, **options))


def described(**changes: object) -> Callable[[], Sequence[Finding]]:
    """A message with an object of seven bytes, whose descriptor is changed."""
    return message(METADATA, tensor(descriptor=descriptor(**changes)))


def descriptor(**changes: object) -> bytes:
    stages = dict.fromkeys(("encoding", "filter", "compression"), "none")
    values = {
        "type": "ntensor",
        "ndim": 1,
        "shape": [7],
        "strides": [1],
        "dtype": "uint8",
        "byte_order": "little",
    }
    return builders.cbor({**values, **stages, **changes})


def unavailable() -> Sequence[Finding]:
    """A payload whose codec is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in sys.modules if name.split(".")[0] == "zfpy"]:
            patch.delitem(sys.modules, name)
        patch.setitem(sys.modules, "zfpy", None)
        stages = {"compression": "zfp", "zfp_mode": "fixed_precision", "zfp_precision": 8}
        stages |= {"dtype": "float64", "shape": [1]}
        return described(**stages)()


def differing(values: bool) -> Callable[[], Sequence[Finding]]:
    other = buffered([1, 0]) if values else buffered([0])
    return lambda: [one for one in differences(WHOLE, other) if one.code.startswith("values") == values]


def with_policy(policy: Policy, data: bytes = WHOLE) -> Callable[[], Sequence[Finding]]:
    return lambda: found(data, policy=policy)


def in_streams(*places: dict[str, object]) -> Callable[[], Sequence[Finding]]:
    """Messages of a stream: what each says of its place."""
    bodies = [builders.cbor({"tgmstream": {"v": 1, "id": "run", **place}}) for place in places]
    data = b"".join(builders.message_of([frame(HEADER_METADATA, body)]) for body in bodies)

    def look() -> Sequence[Finding]:
        stream = StreamPolicy(require_end=places == ({"seq": 0},))
        return found(data, policy=Policy(messages=(stream.message,), ends=(stream.end,)))

    return look


LONG = buffered([7], shape=(100, 100))
UNHASHED = builders.message(hashing=False)
RESERVED_PRECEDER = frame(PRECEDER, builders.cbor({"base": [{"_reserved_": {}}]}))
NOT_DETERMINISTIC = b"\xa1\x61k\x18\x01"  # 1 in two bytes

TRIGGERS: dict[str, Callable[[], Sequence[Finding]]] = {
    "unsupported_version": corpus("P02-version-4"),
    "total_length_too_small": corpus("P08-total-47"),
    "total_length_overflow": corpus("P09-total-u64max"),
    "total_length_invalid": corpus("P11-total-1TiB"),
    "postamble_invalid": corpus("Q06-bad-endmagic"),
    "footer_offset_out_of_range": corpus("Q04-ffo-out"),
    "footer_offset_mismatch": corpus("Q03-ffo-zero"),
    "invalid_frame_header": corpus("F02-type-4"),
    "frame_length_overflow": corpus("F08-len-u64max"),
    "frame_too_small": corpus("F06-len-35"),
    "frame_exceeds_message": corpus("F08-len-past-postamble"),
    "missing_end_marker": corpus("F11-missing-ENDF"),
    "frame_order_violation": corpus("F16-header-after-body"),
    "frame_order_unusual": corpus("F15-header-order"),
    "preceder_not_followed_by_object": corpus("F18-two-preceders"),
    "dangling_preceder": corpus("F19-dangling-preceder"),
    "duplicate_frame": corpus("F14-dup-index"),
    "cbor_offset_invalid": corpus("D41-cbor-offset-0"),
    "non_zero_padding": corpus("F25-nonzero-padding"),
    "excess_padding": corpus("F26-long-padding"),
    "unaligned_frame": corpus("F28-unaligned-frames"),
    "flag_mismatch": corpus("P05-flag-missing-HEADER_INDEX"),
    "flag_superfluous": corpus("P06-flag-extra-FOOTER_HASHES"),
    "reserved_flag": corpus("P04-flag-bit-8"),
    "reserved_nonzero": corpus("P03-reserved-nonzero"),
    "frame_version": corpus("F04-frame-version-2"),
    "no_metadata_frame": corpus("F23-no-metadata"),
    "backfill_incomplete": corpus("P16-zeroed-total-on-sized"),
    "length_not_backfilled": corpus("V02-streaming"),
    "foreign_bytes": corpus("G01-gap-7"),
    "incomplete_tail": corpus("T13-buffered-cut-before-post"),
    "zero_tail": corpus("T39-all-zero-4k"),
    "empty_file": corpus("V32-empty-file"),
    "metadata_cbor_parse_failed": corpus("C27-not-map"),
    "metadata_cbor_non_canonical": message(frame(HEADER_METADATA, NOT_DETERMINISTIC), tensor()),
    "index_cbor_parse_failed": corpus("I11-negative"),
    "index_cbor_non_canonical": message(
        METADATA, frame(HEADER_INDEX, b"\xa2\x67lengths\x80\x67offsets\x98\x00")
    ),
    "index_count_mismatch": corpus("I08-count-short"),
    "index_offset_mismatch": corpus("I05-overlap"),
    "index_length_mismatch": corpus("I06-lengths-wrong"),
    "hash_frame_cbor_parse_failed": message(METADATA, frame(HEADER_HASHES, b"\x80"), tensor()),
    "hash_frame_cbor_non_canonical": message(
        METADATA, frame(HEADER_HASHES, b"\xa2\x66hashes\x80\x69algorithm\x78\x04xxh3")
    ),
    "hash_frame_count_mismatch": corpus("H09-aggregate-count"),
    "preceder_cbor_parse_failed": message(METADATA, frame(PRECEDER, b"\x80"), tensor()),
    "preceder_cbor_non_canonical": message(METADATA, frame(PRECEDER, b"\xa1\x64base\x98\x01\xa0"), tensor()),
    "preceder_base_count_wrong": corpus("F20-preceder-base0"),
    "preceder_reserved": corpus("F22-preceder-reserved"),
    "base_count_exceeds_objects": corpus("C40-base-too-long"),
    "descriptor_cbor_parse_failed": corpus("D21-desc-array"),
    "descriptor_cbor_non_canonical": message(
        METADATA, tensor(descriptor=descriptor().replace(b"\x64ndim\x01", b"\x64ndim\x18\x01"))
    ),
    "descriptor_invalid": corpus("D08-shape-negative"),
    "ndim_shape_mismatch": corpus("D01-ndim"),
    "strides_shape_mismatch": corpus("D03-strides-len"),
    "shape_overflow": corpus("D06-shape-overflow"),
    "unknown_encoding": corpus("D15-encoding-unknown"),
    "unknown_filter": corpus("D16-filter-unknown"),
    "unknown_compression": corpus("D17-compression-unknown"),
    "empty_obj_type": corpus("D18-type-empty"),
    "reserved_not_a_map": message(
        frame(HEADER_METADATA, builders.cbor({"base": [{"_reserved_": "text"}]})), tensor()
    ),
    "reserved_tensor_mismatch": message(
        frame(
            HEADER_METADATA,
            builders.cbor(
                {"base": [{"_reserved_": {"tensor": {"dtype": "uint8", "ndim": 1, "shape": [8]}}}]}
            ),
        ),
        tensor(),
    ),
    "duplicate_cbor_key": corpus("C17-dup-keys"),
    "trailing_cbor": corpus("C25-trailing"),
    "unusual_cbor": corpus("C48-simple"),
    "metadata_diverges": corpus("F29-meta-divergent"),
    "hash_mismatch": corpus("H04-payload-flip"),
    "hash_missing": corpus("H01-flagged-message-unflagged-frame"),
    "hash_partial": corpus("H12-mixed-flags"),
    "hash_frame_mismatch": corpus("H08-aggregate-mismatch"),
    "hash_frame_spelling": corpus("H10-aggregate-upper"),
    "unknown_hash_algorithm": corpus("V26-unknown-hash-alg"),
    "no_hash_available": corpus("V08-no-hash"),
    "decode_pipeline_failed": corpus("Z07-zstd-trailing"),
    "decoded_size_mismatch": corpus("D12-payload-short"),
    "mask_invalid": corpus("M13-unknown-method"),
    "mask_overlap": corpus("M06-overlap-masks"),
    "bitmask_tail": corpus("M15-trailing-bits"),
    "codec_unavailable": unavailable,
    "limit_exceeded": corpus("C02-nest-300"),
    "nan_detected": corpus("D37-nan-unmasked"),
    "inf_detected": message(
        METADATA, tensor(pack("<d", np.inf), descriptor=descriptor(dtype="float64", shape=[1]))
    ),
    "too_few_messages": with_policy(Policy(min_messages=2)),
    "torn_message": lambda: validate(WHOLE + LONG[:2000] + WHOLE, assume_dead=True).findings,
    "hash_required": with_policy(Policy(require_hash=True), UNHASHED),
    "key_required": with_policy(Policy(objects=(require("mars.number"),))),
    "schema_violation": with_policy(Policy(objects=(lambda *_: iter([("schema_violation", "…")]),))),
    "unexpected_content": with_policy(Policy(ends=(lambda: iter([("unexpected_content", "…")]),))),
    "stream_invalid": in_streams({"seq": "x"}),
    "seq_gap": in_streams({"seq": 0}, {"seq": 2}),
    "seq_duplicate": in_streams({"seq": 0}, {"seq": 0}),
    "seq_reversed": in_streams({"seq": 4}, {"seq": 5}, {"seq": 3}),
    "after_end": in_streams({"seq": 0, "type": "end"}, {"seq": 1}),
    "end_missing": in_streams({"seq": 0}),
    "stream_end_mismatch": in_streams({"seq": 0}, {"seq": 1, "type": "end", "count": 7}),
    "values_differ": differing(values=True),
    "metadata_differs": differing(values=False),
    "suppressed": message(METADATA, *[RESERVED_PRECEDER, tensor()] * 101),
}
# What comes along: one fault, seen from two sides.
ALONG = {
    "suppressed": {"preceder_reserved"},
    "hash_required": {"no_hash_available"},
    "seq_reversed": {"seq_gap"},
}


# What no bytes trigger, and where it is triggered. "framing" is for errors that a later version may bring.
ELSEWHERE = {"check_died": "operations/test_isolate.py", "framing": "operations/test_checks.py"}


def test_every_code_has_input_that_triggers_it() -> None:
    assert CODES.keys() - TRIGGERS.keys() == ELSEWHERE.keys()
    for code, path in ELSEWHERE.items():
        assert code in (Path(__file__).parents[1] / path).read_text()
    assert TRIGGERS.keys() - CODES.keys() == set()


@pytest.mark.parametrize("code", TRIGGERS)
def test_a_code_is_triggered_alone(code: str) -> None:
    codes = {one.code for one in TRIGGERS[code]() if one.weight != NOTE or one.code == code}
    assert codes - ALONG.get(code, set()) == {code}


@pytest.mark.parametrize("code", TRIGGERS)
def test_what_is_found_weighs_what_the_table_says_and_has_a_text(code: str) -> None:
    for one in TRIGGERS[code]():
        if one.code == code:
            assert one.weight == CODES[code].severity
            assert one.level == CODES[code].level
            assert one.text


def test_an_error_of_no_known_code_is_one_of_framing() -> None:
    assert described_error(FormatError("strange", code="of_tomorrow")).code == "framing"


# ---- what the reference writes


@pytest.mark.parametrize("vector", valid_vectors(), ids=lambda one: one.name)
def test_what_the_reference_wrote_is_clean_even_under_strict(vector: Vector) -> None:
    report = validate(str(vector.path), level="full", policy=Policy(strict=True))
    assert (report.verdict, [one for one in report.findings if one.weight != NOTE]) == ("valid", [])


LAYOUTS = ["buffered", "streaming", "streaming without objects", "buffered without hashes", "backfilled"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "uint8"])
def test_what_the_reference_writes_now_is_clean_even_under_strict(layout: str, dtype: str) -> None:
    import tensogram

    values = np.arange(24).reshape(2, 3, 4).astype(dtype)
    names = dict.fromkeys(("encoding", "filter", "compression"), "none")
    kind = {"type": "ntensor", "ndim": 3, "shape": [2, 3, 4], "dtype": dtype, **names}
    if layout.startswith("buffered"):
        hashing = {"hash": None} if "without" in layout else {}
        data = tensogram.encode({"base": [{"mars": {"step": 1}}]}, [(kind, values)], **hashing)
    else:
        encoder = tensogram.StreamingEncoder({"k": 1})
        if layout == "preceders":
            encoder.write_preceder({"mars": {"step": 1}})
        if "without" not in layout:
            encoder.write_object(kind, values)
        data = encoder.finish_backfilled() if layout == "backfilled" else encoder.finish()
    for level in LEVELS:
        report = validate(data, level=level, policy=Policy(strict=True))
        assert (report.verdict, report.messages) == ("valid", 1), report.findings


@pytest.mark.parametrize("data", [buffered(), streaming(), streaming(backfill=True), buffered([])])
def test_what_we_write_has_nothing_but_notes(data: bytes) -> None:
    report = validate(data, level="full", policy=Policy(strict=True))
    assert report.verdict == "valid"
    assert {one.code for one in report.findings} <= {"length_not_backfilled"}


# ---- values


def _doubles(*values: float, **changes: object) -> bytes:
    payload = pack(f"<{len(values)}d", *values)
    kind = descriptor(dtype="float64", shape=[len(values)], **changes)
    return builders.message_of([METADATA, tensor(payload, descriptor=kind)])


def test_nan_and_inf_are_counted_and_the_first_is_named() -> None:
    data = _doubles(1, np.nan, 2, -np.inf, np.nan)
    texts = {one.code: one.text for one in found(data)}
    assert texts["nan_detected"] == "2 of 5 values are NaN, the first at [1]"
    assert texts["inf_detected"] == "1 of 5 values are inf-, the first at [3]"


@pytest.mark.parametrize("level", ["quick", "checksum", "default"])
def test_values_are_looked_at_only_at_level_full(level: str) -> None:
    assert found(_doubles(np.nan), level) == ()


def test_nan_that_a_mask_stands_for_is_none() -> None:
    masks = {"nan": {"length": 1, "method": "none", "offset": 16}}
    payload = pack("<2d", 0, 5) + b"\x80"
    kind = descriptor(dtype="float64", shape=[2], masks=masks)
    assert found(builders.message_of([METADATA, tensor(payload, descriptor=kind)])) == ()


def test_a_limit_is_named_with_its_option() -> None:
    (one,) = found(buffered([0], shape=(3, 3)), limits=Limits(ndim=1))
    assert one.code == "limit_exceeded"
    assert "--max-ndim" in one.text


def test_the_footer_may_repeat_what_the_header_says() -> None:
    same = builders.cbor({"k": 1})
    assert message(frame(HEADER_METADATA, same), tensor(), frame(FOOTER_METADATA, same))() == ()
    assert len(TABLE) == len(CODES)
