"""Numbers, ends and errors, as the library writes them."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensogram

import tgmtool
from tests.operations.producers import assert_clean, codes_in, kinds_in, places_in
from tests.operations.streams import FIXED, entry, field, objects_in, steps_of
from tgmtool import EncodeError, MemorySink, SourceError, Stream
from tgmtool.errors import FramingError, LimitExceeded
from tgmtool.messages.metadata import Provenance
from tgmtool.messages.stream import Sender
from tgmtool.operations.numbering import RANK, code_of

RUN = Stream("run")
PAIRS = [(field(step), entry(step)) for step in range(5)]


def written(stream: Stream = RUN, objects: Any = PAIRS, *, patchable: bool = True, **choices: Any) -> bytes:
    """Write to memory."""
    sink = MemorySink(patchable=patchable)
    tgmtool.write(sink, objects, stream=stream, **{"group": 1, "style": FIXED, **choices})
    return bytes(sink.data)


@pytest.mark.parametrize("layout", ["buffered", "streaming"])
@pytest.mark.parametrize(("group", "count"), [(1, 5), (2, 3), ("all", 1)])
def test_messages_are_numbered_and_the_end_vouches_for_them(
    tmp_path: Path, layout: str, group: Any, count: int
) -> None:
    path = tmp_path / "a.tgm"
    spans = tgmtool.write(path, PAIRS, group=group, layout=layout, stream=RUN)
    assert kinds_in(path) == [(seq, "data") for seq in range(count)] + [(count, "end")]
    assert [span.number for span in spans] == list(range(count + 1))
    assert spans[-1].objects == 0
    end = places_in(path)[-1]
    assert (end["count"], end["bytes"]) == (count, spans[-1].offset)
    assert end["digest"].startswith("xxh3:")
    assert_clean(path)
    assert steps_of(objects_in(path)) == list(range(5))


def test_header_and_footer_of_a_streaming_message_say_the_same() -> None:
    data = written(group="all", layout="streaming", patchable=False)
    (whole, _) = places_in(data)
    first = next(one for one in tgmtool.scan(data, unit="frame") if isinstance(one, tgmtool.FrameSpan))
    header = tgmtool.Metadata.parse(data[first.offset + 16 : first.offset + first.length - 12], offset=0)
    assert header.extra["tgmstream"] == whole == {"v": 1, "id": "run", "seq": 0}


def test_the_lengths_that_are_filled_in_change_nothing_about_the_digest() -> None:
    streamed = written(group=2, layout="streaming", patchable=False)
    patched = written(group=2, layout="streaming")
    assert places_in(streamed)[-1] == places_in(patched)[-1]
    assert codes_in(patched) == []
    assert codes_in(streamed) == []


@pytest.mark.parametrize("group", [1, 2, "all"])
def test_an_inline_end_stands_in_the_last_message(group: Any) -> None:
    data = written(RUN._replace(end="inline"), group=group)
    *before, last = places_in(data)
    assert last["last"] is True
    assert not any("last" in place for place in before)
    assert codes_in(data) == []


def test_an_inline_end_and_a_header_that_leaves_first_do_not_go_together() -> None:
    with pytest.raises(EncodeError, match="inline"):
        written(RUN._replace(end="inline"), layout="streaming")


def test_no_end_means_none() -> None:
    data = written(RUN._replace(end="none"))
    assert kinds_in(data) == [(seq, "data") for seq in range(5)]
    assert codes_in(data) == ["end_missing"]


def test_mode_note_error_and_reply_stand_where_they_belong() -> None:
    first, second, *_ = places_in(written(RUN._replace(mode="replace", in_reply_to=7)))
    assert (first["mode"], first["in_reply_to"]) == ("replace", 7)
    assert ("mode" in second, second["in_reply_to"]) == (False, 7)
    said = places_in(written(RUN._replace(note="hello", error="stop", code="why", in_reply_to={"seq": 3})))
    note, data, *_, error = said
    assert (note["type"], note["msg"], note["in_reply_to"]) == ("note", "hello", {"seq": 3})
    assert "in_reply_to" not in data
    assert (error["type"], error["msg"], error["code"]) == ("error", "stop", "why")


def test_reproducible_streams_are_the_same_bytes_without_time_and_with_a_fixed_id() -> None:
    anonymous = Stream()
    assert written(anonymous) == written(anonymous)
    assert {(place["id"], place.get("time")) for place in places_in(written(anonymous))} == {
        (Provenance.reproducible().uuid, None)
    }
    timed = places_in(written(anonymous, style=tgmtool.Style(), layout="buffered"))
    assert len({place["id"] for place in timed}) == 1
    assert all(place["time"].endswith("Z") for place in timed)


@pytest.mark.parametrize("group", [1, "all"])
@pytest.mark.parametrize("layout", ["buffered", "streaming"])
def test_a_failure_ends_with_an_error_marker_after_what_was_whole(layout: str, group: Any) -> None:
    def failing() -> Iterator[Any]:
        yield from PAIRS[:3]
        raise ArithmeticError("the model blew up at https://user:secret@host/x")

    sink = MemorySink()
    with pytest.raises(ArithmeticError):
        tgmtool.write(sink, failing(), group=group, layout=layout, stream=RUN)
    error = places_in(sink.data)[-1]
    assert (error["type"], error["code"]) == ("error", "arithmetic_error")
    assert "blew up" in error["msg"]
    assert "secret" not in error["msg"]
    assert codes_in(bytes(sink.data)) == []
    assert steps_of(objects_in(sink.data)) == [0, 1, 2]


def test_an_object_that_is_refused_is_a_failure_too() -> None:
    sink = MemorySink()
    bad = [PAIRS[0], (np.array([np.nan], "<f4"), {})]
    with pytest.raises(EncodeError, match="NaN"):
        tgmtool.write(sink, bad, layout="streaming", stream=RUN)
    assert kinds_in(sink.data) == [(0, "data"), (1, "error")]


@pytest.mark.parametrize(
    "stream",
    [
        Stream(""),
        Stream("a/b"),
        Stream(chan="\x1b[2J"),
        Stream(sender="a\nb"),
        Stream(end="never"),
        Stream(mode="sometimes"),
        Stream(code="alone"),
        Stream(in_reply_to=-1),
        Stream(in_reply_to={"sender": "0"}),
        Stream(in_reply_to={"seq": 1 << 63}),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is(stream: Stream) -> None:
    sink = MemorySink()
    with pytest.raises(EncodeError):
        tgmtool.write(sink, PAIRS, stream=stream)
    assert sink.data == b""


@pytest.mark.parametrize(
    ("stream", "last", "rank", "expected"),
    [
        (Stream("r"), None, None, Sender("r")),
        (Stream("r", "c", "s"), None, "3", Sender("r", "c", "s")),
        (Stream("r"), None, "3", Sender("r", "main", "3")),
        (Stream(), Sender("old", "c", "s"), None, Sender("old", "c", "s")),
        (Stream("old"), Sender("old", "c", "s"), None, Sender("old", "c", "s")),
        (Stream(), Sender("old", "c", "s"), "3", Sender("old", "c", "3")),
        (Stream("new"), Sender("old", "c", "s"), None, Sender("new")),
    ],
)
def test_whose_messages_they_are(
    monkeypatch: pytest.MonkeyPatch, stream: Stream, last: Any, rank: str | None, expected: Sender
) -> None:
    monkeypatch.delenv(RANK, raising=False)
    if rank is not None:
        monkeypatch.setenv(RANK, rank)
    assert stream.who(last, Provenance()) == expected


def test_a_rank_that_is_no_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RANK, "a/b")
    with pytest.raises(EncodeError, match=r"\$SLURM_PROCID"):
        Stream().who(None, Provenance())


def no_space() -> SourceError:
    error = SourceError("no space left", uri="a.tgm")
    error.errno = errno.ENOSPC
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FramingError("x", offset=0, code="invalid_magic"), "invalid_magic"),
        (LimitExceeded("x", limit="ndim", value=3), "limit_ndim"),
        (no_space(), "enospc"),
        (SourceError("x", uri="u"), "source_error"),
        (KeyboardInterrupt(), "keyboard_interrupt"),
        (EncodeError("x"), "encode_error"),
    ],
)
def test_an_error_has_a_token(error: BaseException, code: str) -> None:
    assert code_of(error) == code


def test_the_reference_reads_every_message() -> None:
    data = written(RUN._replace(note="hello"), group=2)
    found = [tensogram.decode(data[at : at + size]) for at, size in tensogram.scan(data)]
    assert [meta.extra["tgmstream"]["seq"] for meta, _ in found] == [0, 1, 2, 3, 4]
    assert [len(objects) for _, objects in found] == [0, 2, 2, 1, 0]
