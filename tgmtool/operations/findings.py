"""What can be wrong with a file: THE table of issue codes, and one finding of one of them.

It is separate so that checks, reports and documentation speak of the same codes. Codes that the
reference implementation has are spelled as it spells them; the others are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

STRUCTURE, METADATA, INTEGRITY, FIDELITY, POLICY = LEVELS = (
    "structure",
    "metadata",
    "integrity",
    "fidelity",
    "policy",
)
ERROR, WARNING, NOTE, INCOMPLETE, UNCHECKED = SEVERITIES = (
    "error",
    "warning",
    "note",
    "incomplete",
    "unchecked",
)


class Code(NamedTuple):
    """One kind of issue.

    Attributes:
        name: Stable, snake_case.
        level: Where it is looked for.
        severity: "error" (must not be relied on), "warning" (unusual; an error under --strict), "note"
            (worth knowing, never counted), "incomplete" (more may come) or "unchecked" (a limit or a
            missing package stopped the check).
        text: What it means, in one line.
        is_ours: The reference has no such code.
    """

    name: str
    level: str
    severity: str
    text: str
    is_ours: bool = True


def _theirs(name: str, level: str, severity: str, text: str) -> Code:
    return Code(name, level, severity, text, is_ours=False)


TABLE = (
    # ---- structure: the frames hold together
    Code("unsupported_version", STRUCTURE, ERROR, "The message is of another version of the format."),
    _theirs("total_length_too_small", STRUCTURE, ERROR, "The message's length cannot hold a message."),
    _theirs("total_length_overflow", STRUCTURE, ERROR, "The message's length is beyond any file."),
    Code("total_length_invalid", STRUCTURE, ERROR, "The message's length contradicts what stands there."),
    _theirs("postamble_invalid", STRUCTURE, ERROR, "The postamble is missing, or its length is another."),
    _theirs(
        "footer_offset_out_of_range", STRUCTURE, ERROR, "first_footer_offset points outside the message."
    ),
    _theirs(
        "footer_offset_mismatch", STRUCTURE, ERROR, "first_footer_offset is not where the footer begins."
    ),
    _theirs(
        "invalid_frame_header", STRUCTURE, ERROR, "No frame, or one of no known type, where one must be."
    ),
    _theirs("frame_length_overflow", STRUCTURE, ERROR, "The frame's length is beyond any file."),
    _theirs("frame_too_small", STRUCTURE, ERROR, "The frame's length is below the minimum of its type."),
    _theirs("frame_exceeds_message", STRUCTURE, ERROR, "The frame is longer than the message has room for."),
    _theirs("missing_end_marker", STRUCTURE, ERROR, "The frame does not end in ENDF."),
    _theirs(
        "frame_order_violation", STRUCTURE, ERROR, "The frame belongs to an earlier part of the message."
    ),
    Code("frame_order_unusual", STRUCTURE, WARNING, "Header frames stand in another order than 1, 2, 3."),
    _theirs("preceder_not_followed_by_object", STRUCTURE, ERROR, "A preceder precedes no object."),
    _theirs("dangling_preceder", STRUCTURE, ERROR, "The message ends after a preceder."),
    Code("duplicate_frame", STRUCTURE, ERROR, "A frame that may stand once stands twice."),
    _theirs("cbor_offset_invalid", STRUCTURE, ERROR, "cbor_offset points outside the frame's body."),
    _theirs(
        "non_zero_padding", STRUCTURE, WARNING, "Bytes of padding are not zero: something may be hidden."
    ),
    Code("excess_padding", STRUCTURE, WARNING, "More than seven bytes of padding."),
    Code("unaligned_frame", STRUCTURE, WARNING, "A frame does not begin at a multiple of eight."),
    _theirs("flag_mismatch", STRUCTURE, ERROR, "The preamble's flags contradict the frames."),
    Code("flag_superfluous", STRUCTURE, WARNING, "The preamble promises what is not there, harmlessly."),
    Code("reserved_flag", STRUCTURE, WARNING, "A reserved flag is set."),
    Code("reserved_nonzero", STRUCTURE, WARNING, "A reserved field is not zero."),
    Code("frame_version", STRUCTURE, WARNING, "The frame's version is not 1."),
    _theirs("no_metadata_frame", STRUCTURE, ERROR, "The message has no metadata frame."),
    Code("backfill_incomplete", STRUCTURE, WARNING, "Only one of the two lengths was filled in."),
    Code("length_not_backfilled", STRUCTURE, NOTE, "The lengths are 0: backfill would help remote readers."),
    Code("foreign_bytes", STRUCTURE, ERROR, "Bytes that belong to no message."),
    Code("framing", STRUCTURE, ERROR, "The frames do not hold together."),
    Code("torn_message", STRUCTURE, ERROR, "A message was not finished, and whole ones follow it."),
    Code("incomplete_tail", STRUCTURE, INCOMPLETE, "The file ends inside a message that is sound so far."),
    Code(
        "zero_tail", STRUCTURE, INCOMPLETE, "The file ends in zeros: space that is reserved but not written."
    ),
    Code("empty_file", STRUCTURE, ERROR, "There is nothing in the file."),
    # ---- metadata: the CBOR says what it must
    _theirs("metadata_cbor_parse_failed", METADATA, ERROR, "The metadata frame is not what it must be."),
    _theirs(
        "metadata_cbor_non_canonical", METADATA, WARNING, "The metadata is not written deterministically."
    ),
    _theirs("index_cbor_parse_failed", METADATA, ERROR, "The index frame is not what it must be."),
    Code("index_cbor_non_canonical", METADATA, WARNING, "The index is not written deterministically."),
    _theirs("index_count_mismatch", METADATA, ERROR, "The index lists another number of objects."),
    _theirs("index_offset_mismatch", METADATA, ERROR, "The index says that an object stands elsewhere."),
    Code("index_length_mismatch", METADATA, ERROR, "The index says that an object has another length."),
    _theirs("hash_frame_cbor_parse_failed", METADATA, ERROR, "The hash frame is not what it must be."),
    Code(
        "hash_frame_cbor_non_canonical", METADATA, WARNING, "The hash frame is not written deterministically."
    ),
    _theirs("hash_frame_count_mismatch", METADATA, ERROR, "The hash frame lists another number of objects."),
    _theirs("preceder_cbor_parse_failed", METADATA, ERROR, "The preceder is not what it must be."),
    _theirs(
        "preceder_cbor_non_canonical", METADATA, WARNING, "The preceder is not written deterministically."
    ),
    _theirs("preceder_base_count_wrong", METADATA, ERROR, "A preceder must describe exactly one object."),
    Code("preceder_reserved", METADATA, WARNING, "A preceder sets library-managed keys, which are ignored."),
    _theirs("base_count_exceeds_objects", METADATA, ERROR, "base describes more objects than there are."),
    _theirs("descriptor_cbor_parse_failed", METADATA, ERROR, "The descriptor is not what it must be."),
    _theirs("descriptor_cbor_non_canonical", METADATA, WARNING, "The descriptor is not deterministic."),
    Code("descriptor_invalid", METADATA, ERROR, "The descriptor has a value that is impossible."),
    _theirs("ndim_shape_mismatch", METADATA, ERROR, "ndim is not the number of lengths in shape."),
    _theirs("strides_shape_mismatch", METADATA, ERROR, "strides has another number of entries than shape."),
    _theirs("shape_overflow", METADATA, ERROR, "The shape has more elements than can be counted."),
    _theirs("unknown_encoding", METADATA, ERROR, "The encoding does not exist."),
    _theirs("unknown_filter", METADATA, ERROR, "The filter does not exist."),
    _theirs("unknown_compression", METADATA, ERROR, "The compression does not exist."),
    _theirs("empty_obj_type", METADATA, ERROR, "The object's type is empty."),
    _theirs("reserved_not_a_map", METADATA, ERROR, "_reserved_ is no map."),
    Code("reserved_tensor_mismatch", METADATA, WARNING, "That copy differs from the descriptor."),
    Code(
        "duplicate_cbor_key", METADATA, ERROR, "A key stands twice: readers disagree about which one counts."
    ),
    Code("trailing_cbor", METADATA, ERROR, "Bytes follow the CBOR: something may be hidden."),
    Code("unusual_cbor", METADATA, WARNING, "CBOR values outside of the format's data model."),
    Code("metadata_diverges", METADATA, WARNING, "Header and footer give a user's key different values."),
    # ---- integrity: the bytes are the ones that were written, and decode
    _theirs("hash_mismatch", INTEGRITY, ERROR, "The bytes changed after they were written."),
    Code("hash_missing", INTEGRITY, ERROR, "A frame has no digest, though its message promises them."),
    Code("hash_partial", INTEGRITY, WARNING, "Some frames have a digest and some have none."),
    Code("hash_frame_mismatch", INTEGRITY, ERROR, "The list of digests differs from those in the frames."),
    Code("hash_frame_spelling", INTEGRITY, WARNING, "A digest in the list is not in lower case."),
    _theirs("unknown_hash_algorithm", INTEGRITY, WARNING, "The list of digests cannot be compared."),
    _theirs("no_hash_available", INTEGRITY, NOTE, "The message has no digests: changes go unnoticed."),
    _theirs("decode_pipeline_failed", INTEGRITY, ERROR, "The payload cannot be decoded."),
    _theirs("decoded_size_mismatch", INTEGRITY, ERROR, "The payload is of another size than the shape says."),
    Code("mask_invalid", INTEGRITY, ERROR, "A mask is not what it must be, or bytes are in no mask."),
    Code("mask_overlap", INTEGRITY, ERROR, "Two masks share bytes, or claim the same element."),
    Code("bitmask_tail", INTEGRITY, WARNING, "Unused bits at the end of a bitmask are not zero."),
    Code("codec_unavailable", INTEGRITY, UNCHECKED, "The payload needs a package that is not installed."),
    Code("limit_exceeded", INTEGRITY, UNCHECKED, "A limit stopped the check: raise it to know."),
    Code("check_died", INTEGRITY, UNCHECKED, "The isolated check died, or took more than it may."),
    # ---- fidelity: the values
    _theirs("nan_detected", FIDELITY, WARNING, "The payload holds NaN that no mask stands for."),
    _theirs("inf_detected", FIDELITY, WARNING, "The payload holds Inf that no mask stands for."),
    # ---- policy: what this caller requires
    Code("too_few_messages", POLICY, ERROR, "The file has fewer messages than required."),
    Code("hash_required", POLICY, ERROR, "A message has no digests, and they are required."),
    Code("key_required", POLICY, ERROR, "An object lacks a required key, or has another value."),
    Code("schema_violation", POLICY, ERROR, "An object's metadata does not fit the schema."),
    Code("unexpected_content", POLICY, ERROR, "The file does not hold what was expected of it."),
    Code("values_differ", POLICY, ERROR, "Values differ from the reference file's beyond the tolerance."),
    Code("metadata_differs", POLICY, ERROR, "Metadata or layout differ from the reference file's."),
    Code("stream_invalid", POLICY, ERROR, "A message's place in its stream is not what it must be."),
    Code("seq_gap", POLICY, ERROR, "Numbers of a stream are missing."),
    Code("seq_duplicate", POLICY, WARNING, "A number of a stream stands twice: after a resume, or a fault."),
    Code("seq_reversed", POLICY, ERROR, "Numbers of a stream go back."),
    Code("after_end", POLICY, ERROR, "A sender goes on after its end."),
    Code("end_missing", POLICY, ERROR, "A sender did not end, and its end is required."),
    Code("stream_end_mismatch", POLICY, ERROR, "An end states another number of messages, bytes or digest."),
    Code("suppressed", POLICY, NOTE, "More issues were found than are reported."),
)
"""THE table of issue codes."""
CODES = {row.name: row for row in TABLE}


class Finding(NamedTuple):
    """One issue, and where it is.

    Attributes:
        code: Name in CODES.
        text: What was found, and what was expected.
        offset: Bytes from the start of the source, or None.
        message_index: Number of the message, from 0, or None if it is about the file.
        object_index: Number of the object in its message, from 0, or None.
        severity: Of SEVERITIES; the code's, unless a policy changed it.
        length: Bytes that it is about, where that is known; else 0.
    """

    code: str
    text: str
    offset: int | None = None
    message_index: int | None = None
    object_index: int | None = None
    severity: str = ""
    length: int = 0

    @property
    def level(self) -> str:
        """Where it was looked for."""
        return CODES[self.code].level

    @property
    def weight(self) -> str:
        """Its severity, the code's by default."""
        return self.severity or CODES[self.code].severity


_RANK = (NOTE, WARNING, INCOMPLETE, UNCHECKED, ERROR)


class Kept:
    """The first findings of many. What weighs most is never among those that are left out.

    Args:
        most: How many are kept.
        judge: Changes a finding before it counts, or leaves it out (None).

    Attributes:
        findings: Those that are kept.
        dropped: How many are not.
    """

    def __init__(self, most: int, judge: Callable[[Finding], Finding | None]) -> None:
        self.findings: list[Finding] = []
        self.dropped = 0
        self._most = most
        self._judge = judge

    def add(self, finding: Finding) -> None:
        """Take one more."""
        judged = self._judge(finding)
        if judged is None:
            return
        if len(self.findings) < self._most:
            self.findings.append(judged)
            return
        self.dropped += 1
        if _RANK.index(judged.weight) > _RANK.index(self.findings[-1].weight):
            self.findings[-1] = judged


def verdict_of(findings: Iterable[Finding], *, strict: bool = False, messages: int = 0) -> str:
    """Return "invalid", "unchecked", "incomplete" or "valid": the first of these that holds.

    Args:
        findings: All of a file.
        strict: Warnings count as errors.
        messages: Whole messages in the file.
    """
    weights = {found.weight for found in findings}
    if ERROR in weights or (strict and WARNING in weights):
        return "invalid"
    if UNCHECKED in weights:
        return "unchecked"
    return "incomplete" if INCOMPLETE in weights else "valid"


class Report(NamedTuple):
    """What is to be said of one file.

    Attributes:
        source: Its name.
        verdict: "valid", "invalid", "incomplete" or "unchecked".
        findings: In the order of their place; of each message at most 100, of the file 1 000.
        messages: Whole messages.
        objects: Objects in them.
        size: Bytes that were looked at.
        hash_verified: Every frame has a digest, and it is right.
        unreadable: Why the file could not be read; then nothing else says anything. Else "".
    """

    source: str
    verdict: str
    findings: tuple[Finding, ...] = ()
    messages: int = 0
    objects: int = 0
    size: int = 0
    hash_verified: bool = False
    unreadable: str = ""
