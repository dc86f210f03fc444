"""Events become objects the moment their frame is whole, and messages at their end."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import tgmtool
from tests.messages.frames import (
    PAYLOAD,
    control,
    footer_metadata,
    message,
    metadata,
    preceder,
    received,
    tensor,
    whole,
)
from tgmtool import (
    DataObject,
    DigestMismatch,
    EncodeError,
    LimitExceeded,
    Limits,
    MemorySink,
    Message,
    MetadataError,
    StreamWriter,
    Style,
)
from tgmtool.messages.assembly import Assembler
from tgmtool.messages.hashes import Hashes
from tgmtool.messages.index import Index
from tgmtool.wire import frametypes, layout
from tgmtool.wire.decoder import Decoder
from tgmtool.wire.events import END, FrameEnded

UNHASHED = layout.HEADER_METADATA


def refused(
    *frames: bytes, flags: int = layout.HEADER_METADATA | layout.HASHES_PRESENT, **choices: Any
) -> Any:
    with pytest.raises(MetadataError) as caught:
        list(received([message(*frames, flags=flags)], **choices))
    return caught.value


# ---- when


def test_an_object_comes_out_when_its_frame_is_whole_and_the_message_is_still_open() -> None:
    sink = MemorySink()
    writer = StreamWriter(sink, {"run": 1})
    seen: list[DataObject | Message] = []

    def pieces() -> Any:
        sent = 0
        for number in range(3):
            writer.write(np.full(3, number), {"step": number})
            yield bytes(sink.data[sent:])
            sent = len(sink.data)
            # Asked for more bytes: everything that could come out of those has come out.
            assert [found.metadata for found in seen] == [{"step": n} for n in range(number + 1)]
            assert writer.span is None
        writer.finish()
        yield bytes(sink.data[sent:])

    for found in received(pieces()):
        seen += [found]  # one by one: the pieces look at it
    *objects, last = seen
    assert [list(one.array) for one in objects if isinstance(one, DataObject)] == [[n] * 3 for n in range(3)]
    assert isinstance(last, Message)
    assert last.metadata.extra == {"run": 1}


@pytest.mark.parametrize("size", [1, 2, 7, 24, 100, 4096])
def test_any_chunking_gives_the_same_objects(size: int) -> None:
    data = tgmtool.encode(
        [(np.arange(n), {"n": n}) for n in range(5)], layout="streaming", metadata={"run": 1}
    )
    found = list(received([data[at : at + size] for at in range(0, len(data), size)]))
    objects = [one for one in found if isinstance(one, DataObject)]
    assert [list(one.array) for one in objects] == [list(range(n)) for n in range(5)]
    assert [one.metadata for one in objects] == [{"n": n} for n in range(5)]
    assert len(found) == 6


def test_without_keep_a_message_holds_no_objects() -> None:
    *objects, last = received([message(metadata(), tensor(), tensor())])
    assert isinstance(last, Message)
    assert (len(objects), last.objects, last.span.objects) == (2, (), 2)


def test_messages_and_objects_are_numbered_and_say_where_they_stand() -> None:
    one = message(metadata(), tensor())
    two = message(metadata(), tensor(), tensor())
    found = list(received([one + two], keep=True))
    places = [item.span for item in found if isinstance(item, DataObject)]
    assert [(at.message, at.number, at.message_offset) for at in places] == [
        (0, 0, 0),
        (1, 0, len(one)),
        (1, 1, len(one)),
    ]
    for at in places:
        assert (one + two)[at.payload_offset :][: at.payload_length] == PAYLOAD
    spans = [item.span for item in found if isinstance(item, Message)]
    assert [(span.number, span.offset, span.length, span.objects) for span in spans] == [
        (0, 0, len(one), 1),
        (1, len(one), len(two), 2),
    ]


# ---- metadata: a preceder's key over the footer's, the footer's over the header's

HEADER = {"base": [{"a": "header", "b": "header", "c": "header"}], "run": "header", "mode": "header"}
FOOTER = {"base": [{"b": "footer", "c": "footer"}, {"d": "footer"}], "run": "footer"}


def test_a_preceders_key_wins_over_the_footers_and_that_over_the_headers() -> None:
    frames = (
        metadata(HEADER),
        preceder({"c": "preceder"}),
        tensor(),
        tensor(),
        footer_metadata(FOOTER),
    )
    open_object, *_, last = received([message(*frames)], keep=True)
    assert isinstance(last, Message)
    assert last.metadata.extra == {"run": "footer", "mode": "header"}
    assert last.metadata.base == ({"a": "header", "b": "footer", "c": "preceder"}, {"d": "footer"})
    assert [one.metadata for one in last.objects] == list(last.metadata.base)
    # The same object, which knew less while the message was open.
    assert last.objects[0] is open_object


def test_an_open_message_knows_its_header_and_preceders_only() -> None:
    frames = (
        metadata(HEADER),
        preceder({"c": "preceder", "e": 1}),
        tensor(),
        tensor(),
        footer_metadata(FOOTER),
    )
    found = received([message(*frames)])
    first, second = next(found), next(found)
    assert isinstance(first, DataObject)
    assert isinstance(second, DataObject)
    assert first.metadata == {"a": "header", "b": "header", "c": "preceder", "e": 1}
    assert second.metadata == {}


def test_a_preceder_is_for_the_next_object_only() -> None:
    found = whole(message(metadata(), tensor(), preceder({"n": 1}), tensor(), tensor()))
    assert [one.metadata for one in found.objects] == [{}, {"n": 1}, {}]
    assert found.metadata.base == ({}, {"n": 1}, {})


def test_what_only_the_library_writes_is_not_in_an_objects_metadata() -> None:
    found = tgmtool.decode(tgmtool.encode([(np.ones(3), {"a": 1})]))
    assert found.objects[0].metadata == {"a": 1}
    assert found.metadata.base[0]["_reserved_"]["tensor"]["shape"] == [3]


@pytest.mark.parametrize("place", ["header", "footer"])
def test_base_may_be_shorter_than_the_objects_are_many_never_longer(place: str) -> None:
    def build(count: int) -> bytes:
        value = {"base": [{"n": n} for n in range(count)]}
        if place == "header":
            return message(metadata(value), tensor(), tensor())
        return message(tensor(), tensor(), footer_metadata(value))

    assert [one.metadata for one in whole(build(1)).objects] == [{"n": 0}, {}]
    assert [one.metadata for one in whole(build(2)).objects] == [{"n": 0}, {"n": 1}]
    with pytest.raises(MetadataError, match="base describes 3 objects, the message has 2") as caught:
        whole(build(3))
    assert (caught.value.code, caught.value.offset) == ("base_count_exceeds_objects", 0)


def test_a_producer_that_stopped_early_may_have_announced_more_objects_in_the_header() -> None:
    announced = {"base": [{"n": 0}, {"n": 1}, {"n": 2}]}
    found = whole(message(metadata(announced), tensor(), footer_metadata({"base": [{"m": 0}]})))
    assert found.metadata.base == ({"n": 0, "m": 0},)


def test_a_writer_refuses_a_base_that_describes_more_than_it_is_given() -> None:
    for layout_ in ("buffered", "streaming"):
        writer = StreamWriter(MemorySink(), {"base": [{}, {}]}, style=Style(layout=layout_))
        writer.write([1.0])
        with pytest.raises(EncodeError, match="base describes 2 objects, only 1 were written"):
            writer.finish()


# ---- control frames

BODIES: dict[int, Any] = {
    frametypes.HEADER_METADATA: {},
    frametypes.HEADER_INDEX: {"offsets": [], "lengths": []},
    frametypes.HEADER_HASH: {"algorithm": "xxh3", "hashes": []},
    frametypes.FOOTER_HASH: {"algorithm": "xxh3", "hashes": []},
    frametypes.FOOTER_INDEX: {"offsets": [], "lengths": []},
    frametypes.FOOTER_METADATA: {},
}


@pytest.mark.parametrize("number", BODIES)
def test_a_control_frame_stands_once(number: int) -> None:
    frame = control(number, BODIES[number])
    frames = [frame] if number == frametypes.HEADER_METADATA else [metadata(), frame]
    whole(message(*frames))
    error = refused(*frames, frame)
    assert (error.code, error.section) == ("duplicate_frame", "5")
    assert error.offset == layout.PREAMBLE_SIZE + sum(map(len, frames))


def test_a_frame_may_stand_in_the_header_and_in_the_footer() -> None:
    first, second = Index((24,), (28,)), Index((48,), (56,))
    listed = [Hashes.of([1]), Hashes.of([2])]
    found = whole(
        message(
            metadata({"a": 1}),
            control(frametypes.HEADER_INDEX, first.pack()),
            control(frametypes.HEADER_HASH, listed[0].pack()),
            control(frametypes.FOOTER_METADATA, {"b": 2}),
            control(frametypes.FOOTER_HASH, listed[1].pack()),
            control(frametypes.FOOTER_INDEX, second.pack()),
        )
    )
    assert found.metadata.extra == {"a": 1, "b": 2}
    assert (found.index_frame, found.hash_frame) == (second, listed[1])  # the footer's


@pytest.mark.parametrize("number", [*BODIES, frametypes.PRECEDER])
def test_a_control_frame_that_is_no_cbor_map_is_refused_where_it_stands(number: int) -> None:
    before = [] if number == frametypes.HEADER_METADATA else [metadata()]
    for body in (b"", b"\x80", b"\xff", b"\xa1"):
        after = [tensor()] if number == frametypes.PRECEDER else []
        error = refused(*before, control(number, body), *after)
        start = layout.PREAMBLE_SIZE + sum(map(len, before))
        assert error.offset is not None
        assert start <= error.offset <= start + layout.FRAME_HEADER_SIZE + len(body)


# ---- digests


@pytest.mark.parametrize(
    ("name", "frames"),
    [
        ("header_metadata", (metadata(digest=5), tensor())),
        ("ntensor", (metadata(), tensor(digest=5))),
        ("preceder_metadata", (metadata(), preceder({}, digest=5), tensor())),
        ("footer_metadata", (metadata(), tensor(), footer_metadata({}, digest=5))),
        ("header_index", (metadata(), control(frametypes.HEADER_INDEX, {}, digest=0), tensor())),
    ],
)
def test_every_frames_digest_counts(name: str, frames: tuple[bytes, ...]) -> None:
    with pytest.raises(DigestMismatch, match=f"{name} frame") as caught:
        whole(message(*frames))
    assert caught.value.expected in {0, 5}
    assert caught.value.actual != caught.value.expected
    assert len(whole(message(*frames), verify=False).objects) == 1


def test_the_preambles_bit_switches_no_digest_off() -> None:
    with pytest.raises(DigestMismatch):
        whole(message(metadata(), tensor(digest=5), flags=UNHASHED))


@pytest.mark.parametrize("frames", [(metadata(), tensor(hashed=False)), (metadata(hashed=False), tensor())])
def test_a_missing_digest_is_wrong_where_all_frames_are_said_to_have_one(frames: tuple[bytes, ...]) -> None:
    error = refused(*frames)
    assert (error.code, error.section) == ("hash_missing", "2.5")
    assert len(whole(message(*frames), verify=False).objects) == 1
    assert len(whole(message(*frames, flags=UNHASHED)).objects) == 1


def test_a_slot_that_is_not_said_to_be_filled_is_not_looked_at() -> None:
    frames = (metadata(hashed=False, digest=7), tensor(hashed=False, digest=7))
    found = whole(message(*frames, flags=UNHASHED))
    assert found.objects[0].span.digest is None


# ---- after an error, and limits


def test_after_a_wrong_object_the_next_message_is_whole() -> None:
    decoder, assembler = Decoder(), Assembler(keep=True)
    decoder.receive_data(message(metadata(), tensor(digest=5), tensor()) + message(metadata(), tensor()))
    decoder.receive_eof()
    found, wrong = [], 0
    while (event := decoder.next_event()) is not END:
        assert isinstance(event, tuple)
        try:
            found.append(assembler.receive(event))
        except DigestMismatch:
            wrong += 1
    messages = [one for one in found if isinstance(one, Message)]
    assert wrong == 1
    assert [(len(one.objects), one.span.objects) for one in messages] == [(1, 2), (1, 1)]


def test_an_object_can_be_passed_over_and_is_counted() -> None:
    decoder, assembler = Decoder(), Assembler(keep=True)
    announced = metadata({"base": [{}, {"n": 1}]})
    decoder.receive_data(message(announced, preceder({"lost": 1}), tensor(), tensor()))
    decoder.receive_eof()
    found: list[Any] = []
    while (event := decoder.next_event()) is not END:
        assert isinstance(event, tuple)
        if isinstance(event, FrameEnded) and event.header.row.is_object and assembler.count == 0:
            assembler.pass_over()
            continue
        found.append(assembler.receive(event))
    one, last = [item for item in found if item is not None]
    assert (one.span.number, one.metadata) == (1, {"n": 1})
    assert last.objects == (one,)


def test_the_number_of_objects_has_a_limit() -> None:
    data = message(metadata(), tensor(), tensor(), tensor())
    assert len(whole(data, limits=Limits(objects=3)).objects) == 3
    with pytest.raises(LimitExceeded, match="--max-objects"):
        whole(data, limits=Limits(objects=2))


# ---- what stays in memory


def test_a_message_and_its_source_are_let_go_without_the_garbage_collector() -> None:
    data = np.frombuffer(tgmtool.encode([np.ones(2), np.zeros(2)]), np.uint8)
    watched = weakref.ref(data)
    gc.disable()
    try:
        found = tgmtool.decode(data.data)
        values = found.objects[0].array
        del data, found
        assert watched() is not None
        del values
        assert watched() is None
    finally:
        gc.enable()


def test_objects_with_the_same_descriptor_share_it() -> None:
    first, second, third = tgmtool.decode(tgmtool.encode([np.ones(2), np.zeros(2), np.ones(3)])).objects
    assert first.descriptor is second.descriptor
    assert third.descriptor.shape == (3,)


@pytest.mark.parametrize("jobs", [1, 3])
def test_all_arrays_of_a_message_come_in_order_whatever_the_number_of_threads(jobs: int) -> None:
    given = [np.full((3, n), n, np.float32) for n in range(1, 9)]
    message = tgmtool.decode(tgmtool.encode(given, compression="zstd"))
    found = message.arrays(jobs=jobs)
    assert len(found) == len(given)
    assert all(np.array_equal(one, two) for one, two in zip(found, given, strict=True))
