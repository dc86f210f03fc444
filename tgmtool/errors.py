"""The one tree of errors, from damaged bytes to a full disk.

It is separate so that every layer can raise and every caller can catch without importing the layer.
Cut short, damaged and misused are different types, because they are different exit codes:
waiting helps the first, nothing helps the second, and only the caller can help the third.
"""

from __future__ import annotations


class TgmError(Exception):
    """Root of every error that tgmtool raises on purpose."""


class FormatError(TgmError, ValueError):
    """The bytes are not what the format says.

    Attributes:
        code: Stable snake_case name of the fault, as `validate` prints it.
        offset: Bytes from the start of the source to the first byte at fault; None when unknown.
        section: Section of the wire format that was broken (`"2.1"`), or "".
        source: Name of the source (path or redacted URL); filled in by whoever knows it.
    """

    default_code = "framing"

    def __init__(
        self,
        text: str,
        *,
        offset: int | None = None,
        section: str = "",
        code: str | None = None,
        source: str | None = None,
    ) -> None:
        super().__init__(text)
        self.text = text
        self.offset = offset
        self.section = section
        self.code = code or self.default_code
        self.source = source

    def __str__(self) -> str:
        parts = []
        if self.source is not None:
            parts.append(f"{self.source}: ")
        if self.offset is not None:
            parts.append(f"byte {self.offset}: ")
        parts.append(self.text)
        if self.section:
            parts.append(f" (format §{self.section})")
        return "".join(parts)


class FramingError(FormatError):
    """Preamble, frame, padding or postamble is wrong: no continuation can make it valid."""

    default_code = "framing"


class TruncatedError(FramingError, EOFError):
    """The input stops inside a message that is sound so far.

    Attributes:
        message_offset: Where the cut message begins (bytes from the start of the source).
        available: Bytes of it that are there.
        expected: Bytes it needs at least, as far as its own lengths say; None when it does not say.
        zero_tail: The last bytes are zeros up to the end: space that was reserved but not written.
        whole_until: Its whole frames end before here (bytes from the start of the source).
    """

    default_code = "truncated"

    def __init__(
        self,
        text: str,
        *,
        offset: int,
        message_offset: int,
        available: int,
        expected: int | None = None,
        zero_tail: bool = False,
        whole_until: int | None = None,
    ) -> None:
        code = "zero_tail" if zero_tail else "incomplete_tail"
        super().__init__(text, offset=offset, section="3.2", code=code)
        self.message_offset = message_offset
        self.available = available
        self.expected = expected
        self.zero_tail = zero_tail
        self.whole_until = message_offset if whole_until is None else whole_until


class MetadataError(FormatError):
    """A metadata, index or hash frame, or a descriptor, does not say what it must."""

    default_code = "metadata_cbor_parse_failed"


class DigestMismatch(FormatError):
    """The xxh3-64 digest of a frame's body differs from the stored one.

    Attributes:
        expected: The digest stored in the frame.
        actual: The digest of the bytes that are there.
    """

    default_code = "hash_mismatch"

    def __init__(self, what: str, *, expected: int, actual: int, offset: int) -> None:
        super().__init__(
            f"{what}: the bytes have digest {actual:016x}, the frame says {expected:016x}; "
            "they changed after they were written",
            offset=offset,
            section="2.4",
        )
        self.expected = expected
        self.actual = actual


class PayloadError(FormatError):
    """A payload cannot be decoded to what its descriptor promises."""

    default_code = "decode_pipeline_failed"


class EncodeError(TgmError, ValueError):
    """The caller asked for what the format, or this version, does not allow."""


class CodecUnavailable(TgmError):
    """A codec this version knows by name, whose package is not installed or which it cannot run yet.

    Attributes:
        codec: The name in the descriptor.
        extra: The extra to install (`pip install 'tgmtool[EXTRA]'`), or None.
    """

    def __init__(self, text: str, *, codec: str, extra: str | None = None) -> None:
        super().__init__(text)
        self.codec = codec
        self.extra = extra


class LimitExceeded(TgmError):
    """A stated limit stopped oversized or hostile input.

    Attributes:
        limit: Field of `Limits` that stopped it.
        value: What the limit was.
        offset: Bytes from the start of the source, or None.
    """

    def __init__(self, text: str, *, limit: str, value: int, offset: int | None = None) -> None:
        option = "--max-" + limit.replace("_", "-")
        where = "" if offset is None else f"byte {offset}: "
        super().__init__(f"{where}{text}; the limit is {value}, raise it with {option}")
        self.limit = limit
        self.value = value
        self.offset = offset


class SourceError(TgmError, OSError):
    """A place could not be read or written; the cause is chained.

    Attributes:
        uri: The place, without secrets.
    """

    def __init__(self, text: str, *, uri: str) -> None:
        super().__init__(f"{uri}: {text}")
        self.uri = uri


class CannotResume(TgmError):
    """A saved position does not fit the data; nothing was read from any other position instead.

    Attributes:
        reason: "wrong_file", "out_of_window", "not_a_boundary", "ended" or "unreadable" (the saved position).
    """

    def __init__(self, text: str, *, reason: str, uri: str) -> None:
        super().__init__(f"{uri}: cannot resume ({reason}): {text}")
        self.reason = reason
        self.uri = uri


class ReferenceRefused(TgmError):
    """What a reference stands for is not there, is not what was meant, or is nothing that it may name.

    Attributes:
        reason: "missing", "changed" or "invalid" (the reference itself).
    """

    def __init__(self, text: str, *, reason: str) -> None:
        super().__init__(text)
        self.reason = reason


class NameRefused(TgmError, ValueError):
    """Metadata cannot become a file name; says which message, which key, and why."""


class TimeLimit(TgmError):
    """A time limit passed: nothing new for too long, or too long in all; the text names the limit."""
