"""Read whole messages, one after the other; write several; and the same for one, in memory.

It is separate from scan and tail because its promise is another one: what it hands out is whole
and verified, with arrays, and nothing that is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from ..endpoints import open_sink, open_source
from ..endpoints.base import Sink, Source
from ..endpoints.memory import BytesSink
from ..errors import EncodeError, FormatError, FramingError, TgmError
from ..limits import DEFAULT_LIMITS, Limits
from ..messages.assembly import Assembler, Message
from ..messages.spans import Gap, MessageSpan
from ..wire.decoder import Decoder
from ..wire.events import Damaged, MessageEnded
from .drive import drive, named
from .gaps import gap_of
from .prepare import Preparer, Stages
from .writer import StreamWriter, Style

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .numbering import Numbering, Stream


def read(
    source: Any,
    *,
    verify: bool = True,
    restore: bool = True,
    jobs: int = 1,
    limits: Limits = DEFAULT_LIMITS,
    on_damage: str = "raise",
    assume_dead: bool = False,
) -> Iterator[Message | Gap]:
    """Yield the whole messages of `source`, in order.

    Args:
        source: A path, `-`, bytes, a binary file or a Source. A regular file is mapped: arrays of
            uncompressed objects are views of it, and it must not be truncated while they are used.
        verify: Check every frame's digest.
        restore: Put NaN and ±Inf back where masks say they were.
        jobs: Threads that decoding an object may use.
        limits: What the input may cost.
        on_damage: "raise", or "skip" to yield a Gap instead and go on with the next whole message.
        assume_dead: With "skip": see `scan`.

    Raises:
        TruncatedError: After the last whole message, when the input stops inside one.
        FormatError: Damage (with "raise").
        LimitExceeded: The input costs more than `limits`.
        SourceError: The source failed.
    """
    if on_damage not in {"raise", "skip"}:
        raise ValueError(f"on_damage must be 'raise' or 'skip', not {on_damage!r}")
    if assume_dead and on_damage != "skip":
        raise ValueError("assume_dead goes with on_damage='skip'")
    opened = open_source(source, mapped=True)
    try:
        skip = on_damage == "skip"
        yield from _messages(opened, verify, restore, jobs, limits, skip=skip, assume_dead=assume_dead)
    finally:
        if opened is not source:
            opened.close()


def _messages(
    source: Source,
    verify: bool,
    restore: bool,
    jobs: int,
    limits: Limits,
    *,
    skip: bool,
    assume_dead: bool,
) -> Iterator[Message | Gap]:
    decoder = Decoder(verify=verify, control_body_limit=limits.cbor_bytes)
    assembler = Assembler(keep=True, verify=verify, restore=restore, jobs=jobs, limits=limits)
    wrong: FormatError | None = None  # with the message that is passing
    for event in drive(source, decoder, resync=skip, assume_dead=assume_dead):
        if isinstance(event, Damaged):
            yield gap_of(event)
            wrong = None
        try:
            found = assembler.receive(event)
        except FormatError as error:
            if not skip:
                raise named(error, source.name) from None
            wrong = wrong or error
            found = None
        if isinstance(event, MessageEnded):
            if wrong is not None:
                yield Gap(event.offset, event.length, "damaged", wrong.code, str(wrong))
                wrong = None
            elif isinstance(found, Message):
                yield found


def decode(
    data: Any,
    *,
    verify: bool = True,
    restore: bool = True,
    jobs: int = 1,
    limits: Limits = DEFAULT_LIMITS,
) -> Message:
    """Return the one message that `data` (bytes, or any source) holds.

    Raises:
        FormatError: It holds none, more than one, or a damaged or cut one.
    """
    messages = list(read(data, verify=verify, restore=restore, jobs=jobs, limits=limits))
    if len(messages) != 1:
        raise FramingError(
            f"expected one message, found {len(messages)}", offset=0, section="1", code="invalid_magic"
        )
    found = messages[0]
    assert isinstance(found, Message)
    return found


def write(
    sink: Any,
    objects: ArrayLike | Iterable[Any],
    *,
    metadata: Mapping[str, Any] | None = None,
    group: int | str = "all",
    layout: str = "auto",
    encoding: str = "none",
    filter: str = "none",  # noqa: A002  # the format's own word for it
    compression: str = "none",
    params: Mapping[str, Any] | None = None,
    jobs: int = 1,
    style: Style | None = None,
    stream: Stream | None = None,
) -> list[MessageSpan]:
    """Write arrays as messages to `sink`; return where each message, and marker, stands.

    Args:
        sink: A path (created or replaced), `-`, a binary file, or a Sink.
        objects: An array, or an iterable of arrays or of (array, metadata) pairs; taken one at a time.
        metadata: Message-level metadata, the same for each message; `base` only with group "all".
        group: Objects per message: a number, or "all" for one message.
        layout: "buffered" (needs the objects of a message in memory), "streaming" (one object in
            memory), or "auto": buffered for an array, a list or one object per message.
        encoding: Values to bytes.
        filter: Bytes rearranged.
        compression: Bytes made fewer.
        params: Stage parameters by their descriptor keys.
        jobs: Threads that a stage may use.
        style: The finer choices of layout.
        stream: Number the messages, and say how it ended: after a failure with an error marker.

    Raises:
        EncodeError: What cannot be written; whole messages before it stay.
        SourceError: The sink failed; likewise.
    """
    stages = _preparer(encoding, filter, compression, jobs)
    if params:
        stages = Preparer(Stages(encoding, filter, compression, params, jobs))
    size = _group_size(group)
    at_hand = hasattr(objects, "__array__") or isinstance(objects, list | tuple)
    items: Iterable[Any] = [objects] if hasattr(objects, "__array__") else objects  # type: ignore[assignment]  # one array is an iterable too
    if layout == "auto":
        layout = "buffered" if at_hand or size == 1 else "streaming"
    chosen = Style(layout) if style is None else style._replace(layout=layout)
    opened = open_sink(sink)
    try:
        numbering = None if stream is None else _numbering(stream, opened, chosen)
        target = opened if numbering is None else numbering.sink
        borrow = at_hand or size == 1
        begin = partial(StreamWriter, target, metadata, style=chosen, stages=stages, borrow=borrow)
        spans = _write_all(items, size, begin, numbering)
    except BaseException:
        if opened is not sink:
            opened.abort()
        raise
    if opened is not sink:
        opened.close()
    return spans


@lru_cache(16)
def _preparer(encoding: str, filter_name: str, compression: str, jobs: int) -> Preparer:
    """Return one that knows what it made for earlier calls: many write a single message each."""
    return Preparer(Stages(encoding, filter_name, compression, jobs=jobs))


def _numbering(stream: Stream, sink: Sink, style: Style) -> Numbering:
    from .numbering import Numbering

    stream.check()
    if stream.end == "inline" and style.layout == "streaming":
        raise EncodeError("end 'inline' needs a header that leaves last, not layout 'streaming'")
    return Numbering(stream, stream.who(None, style.provenance), sink, style.provenance)


def _write_all(
    items: Iterable[Any], size: int, begin: Callable[[], StreamWriter], numbering: Numbering | None
) -> list[MessageSpan]:
    """Write the messages of `size` objects each (0: one of all), and what the stream says besides."""
    spans: list[MessageSpan] = []
    writer: StreamWriter | None = None

    def add(span: MessageSpan) -> None:
        spans.append(span._replace(number=len(spans)))

    def finish(writer: StreamWriter, *, last: bool) -> None:
        if numbering is None:
            add(writer.finish())
            return
        last = last and numbering.stream.end == "inline" and numbering.stream.error is None
        if last:
            numbering.number(writer, last=True)
        add(writer.finish())
        numbering.finished(last=last)

    def started() -> StreamWriter:
        found = begin()
        if numbering is not None:
            numbering.number(found)
        return found

    try:
        if numbering is not None and numbering.stream.note is not None:
            add(numbering.note(numbering.stream.note))
        for number, item in enumerate(items):
            if size and number % size == 0 and writer is not None:
                finish(writer, last=False)
                writer = None
            writer = writer or started()
            writer.write_many([item])
        finish(writer or started(), last=True)
        writer = None
        if numbering is not None and (span := numbering.close()) is not None:
            add(span)
    except Exception as error:
        sink_failed = isinstance(error, OSError) and numbering is not None and _is_of(error, numbering.sink)
        if numbering is not None and not numbering.is_over and not sink_failed:
            with suppress(TgmError):  # what went wrong first is what the caller must know
                if writer is not None and writer.has_objects:
                    finish(writer, last=False)
                numbering.failure(error)
        raise
    return spans


def _is_of(error: OSError, sink: Sink) -> bool:
    return isinstance(error, BrokenPipeError) or getattr(error, "uri", None) == sink.name


def _group_size(group: int | str) -> int:
    """Return the objects per message; 0 for all."""
    if group == "all":
        return 0
    if isinstance(group, int) and group > 0:
        return group
    raise EncodeError(f"group must be 'all' or a positive number, not {group!r}")


def encode(objects: Any, *, metadata: Mapping[str, Any] | None = None, **choices: Any) -> bytes:
    """Return one message that holds `objects`; arguments as `write`, without `sink` and `group`."""
    sink = BytesSink()
    write(sink, objects, metadata=metadata, **choices)
    return sink.taken()
