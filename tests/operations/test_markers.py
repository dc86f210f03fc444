"""Markers are messages that every reader takes, and say what they were given."""

from __future__ import annotations

import tensogram

from tgmtool import decode
from tgmtool.messages.metadata import Provenance
from tgmtool.messages.stream import END, Place, Sender
from tgmtool.operations.markers import marker
from tgmtool.wire import layout

_END = Place(Sender("run-1", "main", "3"), 7, END, {"count": 7, "bytes": 1234})


def test_a_marker_has_the_frames_that_every_reader_needs() -> None:
    data = marker(_END)
    _, _, flags, _, length = layout.PREAMBLE.unpack_from(data)
    assert flags == layout.HEADER_METADATA | layout.HEADER_INDEX | layout.HASHES_PRESENT
    assert length == len(data)


def test_the_reference_reads_a_marker_without_objects() -> None:
    meta, objects = tensogram.decode(marker(_END))
    assert objects == []
    assert meta.extra["tgmstream"] == _END.to_map()


def test_we_read_what_we_said() -> None:
    message = decode(marker(_END, {"centre": "ecmf"}))
    assert message.metadata.extra["centre"] == "ecmf"
    assert Place.parse(message.metadata.extra, offset=0) == _END


def test_reproducible_markers_are_the_same_bytes() -> None:
    fixed = Provenance.reproducible()
    assert marker(_END, provenance=fixed) == marker(_END, provenance=fixed)
