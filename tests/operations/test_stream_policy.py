"""`validate --stream`: numbers in order, ends that are true."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xxhash

import tgmtool
from tgmtool import Policy
from tgmtool.messages.stream import KEY, Place, Sender
from tgmtool.operations.stream_policy import StreamPolicy

RUN = Sender("run")


def message(place: Place | dict[str, Any] | None, objects: int = 1) -> bytes:
    value = place.to_map() if isinstance(place, Place) else place
    metadata = {} if value is None else {KEY: value}
    return tgmtool.encode([np.arange(3.0)] * objects, metadata=metadata)


def data(seq: int, who: Sender = RUN) -> bytes:
    return message(Place(who, seq))


def end(seq: int, who: Sender = RUN, **stated: Any) -> bytes:
    return message(Place(who, seq, "end", stated), objects=0)


def codes(*messages: bytes, require_end: bool = False) -> list[tuple[str, int | None]]:
    stream = StreamPolicy(require_end=require_end)
    policy = Policy(messages=(stream.message,), ends=(stream.end,))
    return [
        (found.code, found.message_index)
        for found in tgmtool.validate(b"".join(messages), policy=policy).findings
    ]


def test_a_stream_in_order_is_clean_whatever_stands_between() -> None:
    assert codes(data(0), message(None), data(1), data(0, Sender("b")), end(2)) == []


def test_what_is_out_of_order_is_found_where_it_is() -> None:
    found = codes(data(0), data(2), data(2), data(1), end(3), data(4))
    assert found == [("seq_gap", 1), ("seq_duplicate", 2), ("seq_reversed", 3), ("after_end", 5)]


def test_a_place_that_is_none_is_found_and_a_later_version_is_data() -> None:
    found = codes(message({"v": 1, "id": "run", "seq": "0"}), message({"v": 2, "seq": "0"}), data(0))
    assert found == [("stream_invalid", 0)]


def sent(*messages: bytes) -> dict[str, Any]:
    """What an end states of these: the digest is taken with both lengths as zeros."""
    zeroed = b"".join(m[:16] + bytes(8) + m[24:-16] + bytes(8) + m[-8:] for m in messages)
    return {
        "count": len(messages),
        "bytes": sum(map(len, messages)),
        "digest": f"xxh3:{xxhash.xxh3_64_intdigest(zeroed):016x}",
    }


def test_an_end_that_states_what_was_sent_is_believed_only_if_it_is_so() -> None:
    messages = [data(0), data(1)]
    assert codes(*messages, end(2, **sent(*messages))) == []
    for key, wrong in (("count", 3), ("bytes", 1), ("digest", f"xxh3:{0:016x}")):
        assert codes(*messages, end(2, **{**sent(*messages), key: wrong})) == [("stream_end_mismatch", 2)]
    assert codes(*messages, end(2, digest="sha256:00")) == []


@pytest.mark.parametrize(
    "messages", [[data(0)], [message(None)], [data(0), end(1), data(0, Sender("b"))]], ids=len
)
def test_a_missing_end_is_found_if_it_is_required(messages: list[bytes]) -> None:
    assert codes(*messages) == []
    assert codes(*messages, require_end=True) == [("end_missing", None)]


def test_markers_are_accepted_by_the_reference() -> None:
    import tensogram

    whole = data(0) + end(1, count=1)
    assert len(tensogram.scan(whole)) == 2
    assert tensogram.validate(whole[len(data(0)) :], level="full")["issues"] == []
