"""An index that stands before the objects knows where they are, its own size included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensogram

import tgmtool
from tgmtool import FrameSpan, MemorySink, MetadataError, StreamWriter, Style
from tgmtool.messages import cbor
from tgmtool.messages.index import Index
from tgmtool.wire import frametypes, layout

AT = 300


def written(count: int, style: Style, size: int = 1) -> bytes:
    sink = MemorySink()
    with StreamWriter(sink, style=style) as writer:
        for number in range(count):
            writer.write(np.full(size, number, np.int32), {"n": number} if style.preceder else None)
    return bytes(sink.data)


def assert_index_is_true(message: bytes, count: int) -> None:
    tensors = [
        (span.offset, span.length)
        for span in tgmtool.scan(message, unit="frame")
        if isinstance(span, FrameSpan) and span.type == frametypes.TENSOR
    ]
    index = tgmtool.decode(message).index_frame
    assert index is not None
    assert list(zip(index.offsets, index.lengths, strict=True)) == tensors
    assert len(tensors) == count


# The numbers of objects and bytes at which a CBOR number or list gets longer, 300 (at which the
# reference gives up), and some between them.
COUNTS = sorted({*range(28), *range(28, 601, 13), 255, 256, 257, 298, 299, 300, 301, 302, 600})


@pytest.mark.parametrize("count", COUNTS)
def test_a_buffered_index_is_true_for_any_number_of_objects(count: int) -> None:
    assert_index_is_true(written(count, Style(layout="buffered")), count)


def test_the_reference_reads_a_message_of_300_objects_that_it_cannot_write() -> None:
    message = written(300, Style(layout="buffered"))
    assert len(tensogram.decode(message).objects) == 300
    assert tensogram.validate(message, level="full")["issues"] == []


@pytest.mark.parametrize("hashing", [True, False])
@pytest.mark.parametrize("preceder", [True, False])
@pytest.mark.parametrize("layout_", ["buffered", "streaming"])
def test_an_index_is_true_whatever_stands_between_the_objects(
    layout_: str, preceder: bool, hashing: bool
) -> None:
    style = Style(layout=layout_, hashing=hashing, preceder=preceder)
    for count in (0, 1, 24, 100):
        assert_index_is_true(written(count, style), count)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 16_000, 16_300, 16_400])
def test_an_index_is_true_whatever_the_size_of_the_objects(size: int) -> None:
    for layout_ in ("buffered", "streaming"):
        assert_index_is_true(written(3, Style(layout=layout_), size), 3)


def test_a_message_without_objects_has_an_index_all_the_same() -> None:
    for layout_ in ("buffered", "streaming"):
        assert tgmtool.decode(written(0, Style(layout=layout_))).index_frame == Index((), ())


def test_an_index_is_deterministic_cbor_and_read_back() -> None:
    index = Index((48, 1 << 40), (100, 28))
    assert index.pack() == cbor.encode({"lengths": [100, 28], "offsets": [48, 1 << 40]})
    assert Index.parse(index.pack(), offset=AT) == index


def test_an_index_without_a_list_is_empty() -> None:
    assert Index.parse(cbor.encode({}), offset=AT) == Index((), ())
    assert Index.parse(cbor.encode({"offsets": [], "other": 1}), offset=AT) == Index((), ())


@pytest.mark.parametrize(
    "value",
    [
        {"offsets": 1},
        {"offsets": None, "lengths": []},
        {"offsets": [-1], "lengths": [28]},
        {"offsets": [1.0], "lengths": [28]},
        {"offsets": ["1"], "lengths": [28]},
        {"offsets": [True], "lengths": [28]},
        {"offsets": [1, 2], "lengths": [28]},
        {"offsets": [1]},
        {"lengths": [1]},
        {"offsets": [[1]], "lengths": [28]},
    ],
    ids=repr,
)
def test_what_is_no_index_is_refused(value: dict[str, Any]) -> None:
    with pytest.raises(MetadataError) as caught:
        Index.parse(cbor.encode(value), offset=AT)
    assert (caught.value.code, caught.value.offset) == ("index_cbor_parse_failed", AT)


def test_what_is_no_map_is_no_index() -> None:
    for body in (b"", b"\x80", b"\xa1", b"\xa0\xa0"):
        with pytest.raises(MetadataError):
            Index.parse(body, offset=AT)


def test_an_index_frame_stands_where_its_layout_says() -> None:
    for layout_, number, flag in (
        ("buffered", frametypes.HEADER_INDEX, layout.HEADER_INDEX),
        ("streaming", frametypes.FOOTER_INDEX, layout.FOOTER_INDEX),
    ):
        message = written(2, Style(layout=layout_))
        types = [s.type for s in tgmtool.scan(message, unit="frame") if isinstance(s, FrameSpan)]
        both = {frametypes.HEADER_INDEX, frametypes.FOOTER_INDEX}
        assert both & set(types) == {number}
        flags = tgmtool.decode(message).span.flags
        assert flags & (layout.HEADER_INDEX | layout.FOOTER_INDEX) == flag
