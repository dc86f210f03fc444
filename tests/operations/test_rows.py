"""Rows that are written at once are, byte for byte, the ones that are written one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tgmtool import EncodeError, MemorySink, Provenance, StreamWriter, Style, read
from tgmtool.codecs.masks import Rules
from tgmtool.operations import rows
from tgmtool.operations.prepare import Stages
from tgmtool.wire.encoder import SMALL

SAME = Provenance.reproducible()
DTYPES = ("<f4", ">f8", "i2", "?", "u1", "c8", "f2")


def numbered(dtype: str, *shape: int) -> Any:
    return (np.arange(np.prod(shape)) % 1000).reshape(shape).astype(dtype)


def written(batch: Any, *, before: Any = None, style: Style | None = None, **choices: Any) -> bytes:
    sink = MemorySink()
    with StreamWriter(sink, style=(style or Style())._replace(provenance=SAME), **choices) as writer:
        if before is not None:
            writer.write(*before)
        writer.write_many(batch)
    return bytes(sink.data)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(4, 1), (5, 3), (9, 2, 5), (70, 4000), (700, 3000)])
def test_they_are_the_same_bytes(dtype: str, shape: tuple[int, ...]) -> None:
    batch = numbered(dtype, *shape)
    assert rows.are_rows(batch) == (batch[0].nbytes <= SMALL)
    assert written(batch) == written(list(batch))


@pytest.mark.parametrize(
    "choices",
    [
        {"style": Style(hashing=False)},
        {"style": Style(preceder=True)},
        {"style": Style(layout="buffered")},
        {"before": (np.ones(2, np.int16), {"name": "a"})},
        {"before": (np.ones((2, 3)), None)},
        {"metadata": {"base": [{"name": "a"}, {"name": "b"}]}},
        {"stages": Stages(compression="zstd")},
        {"stages": Stages(filter="shuffle", params={"shuffle_element_size": 4})},
    ],
    ids=repr,
)
def test_they_are_the_same_bytes_whatever_stands_around_them(choices: dict[str, Any]) -> None:
    batch = numbered("<f4", 40, 2, 3)[::2].transpose(0, 2, 1)
    assert rows.are_rows(batch)
    assert written(batch, **choices) == written(list(batch), **choices)


def test_those_before_a_refused_row_are_written() -> None:
    batch = numbered("<f4", 400, 1000)
    batch[333, 5] = np.nan
    sink = MemorySink()
    writer = StreamWriter(sink)
    with pytest.raises(EncodeError, match=r"index \[5\] is NaN"):
        writer.write_many(batch)
    assert writer.finish().objects == 333
    (message,) = read(bytes(sink.data))
    assert np.array_equal(np.stack(message.arrays()), batch[:333])  # type: ignore[union-attr]


def test_rows_with_nan_are_masked_where_that_is_allowed() -> None:
    batch = numbered("<f8", 50, 6)
    batch[7, 2] = np.nan
    stages = Stages(masks=Rules(allow_nan=True))
    assert written(batch, stages=stages) == written(list(batch), stages=stages)


def test_what_is_given_to_the_next_object_goes_to_the_first_row() -> None:
    sinks = MemorySink(), MemorySink()
    batch = numbered("i4", 5, 3)
    for sink, given in zip(sinks, (batch, list(batch)), strict=True):
        with StreamWriter(sink, style=Style(provenance=SAME)) as writer:
            writer.preceder({"name": "a"})
            writer.write_many(given)
    assert sinks[0].data == sinks[1].data


class _Odd(np.ndarray[Any, Any]):
    pass


@pytest.mark.parametrize(
    "batch", [[], [np.ones(3)] * 9, np.ones(9), np.ones((9, 0)), np.ones((9, 3)).view(_Odd)]
)
def test_anything_else_is_no_rows(batch: Any) -> None:
    assert not rows.are_rows(batch)


def test_the_writer_refuses_rows_after_its_end() -> None:
    writer = StreamWriter(MemorySink())
    writer.finish()
    with pytest.raises(EncodeError, match="finished"):
        writer.write_many(np.ones((9, 3)))
