"""Objects as messages of their own: valid, and their frames byte for byte."""

from __future__ import annotations

import numpy as np
import pytest

import tgmtool
from tests.builders import flip_bit
from tests.operations.streams import FIXED, buffered, entry, field, steps_of, streaming
from tgmtool import DigestMismatch, MemorySink, MemorySource, ObjectSpan
from tgmtool.operations.arrays import FORMATS
from tgmtool.operations.cat_remote import pick
from tgmtool.operations.wanted import Wanted


def taken(data: bytes, **choices: bool) -> bytes:
    sink = MemorySink()
    FORMATS["tgm"].write(pick(MemorySource(data), Wanted(), **choices), sink)  # type: ignore[arg-type]
    return bytes(sink.data)


PLAIN = FIXED._replace(hashing=False)
CASES = {
    "buffered": buffered(range(3)),
    "streaming": streaming(range(3)),
    "without digests": tgmtool.encode([(field(0), entry(0))], layout="buffered", style=PLAIN),
    "compressed": tgmtool.encode([(field(0), entry(0))], layout="buffered", compression="zstd", style=FIXED),
    "empty": tgmtool.encode([(np.empty((0, 3), "<f4"), {})], layout="buffered", style=FIXED),
    "nothing": tgmtool.encode([], layout="buffered", style=FIXED),
}


@pytest.mark.parametrize("data", CASES.values(), ids=CASES)
def test_each_object_becomes_a_valid_message(data: bytes) -> None:
    out = taken(data)
    before = [one for one in tgmtool.scan(data) if isinstance(one, ObjectSpan)]
    if out:
        codes = {found.code for found in tgmtool.validate(out, level="full").findings}
        assert codes == ({"no_hash_available"} if before[0].digest is None else set())
    after = [one for one in tgmtool.scan(out) if isinstance(one, ObjectSpan)]
    assert [out[one.offset :][: one.length] for one in after] == [
        data[one.offset :][: one.length] for one in before
    ]
    assert [one.message for one in after] == list(range(len(before)))
    assert [one.metadata for one in after] == [one.metadata for one in before]


def test_the_keys_of_the_message_come_along() -> None:
    data = tgmtool.encode([(field(4), entry(4))], metadata={"run": 7}, layout="buffered", style=FIXED)
    (message,) = tgmtool.read(taken(data))
    assert isinstance(message, tgmtool.Message)
    assert message.metadata.extra == {"run": 7}
    assert steps_of([message]) == [4]


def test_the_reference_reads_them() -> None:
    import tensogram

    out = taken(buffered(range(3)))
    places = tensogram.scan(out)
    assert len(places) == 3
    offset, length = places[2]
    _, objects = tensogram.decode(out[offset : offset + length])
    assert np.array_equal(objects[0][1], field(2))


def test_a_frame_that_changed_is_not_written() -> None:
    data = buffered([0])
    (span,) = (one for one in tgmtool.scan(data) if isinstance(one, ObjectSpan))
    damaged = flip_bit(data, span.payload_offset, 0)
    with pytest.raises(DigestMismatch):
        taken(damaged)
    assert taken(damaged, verify=False)
