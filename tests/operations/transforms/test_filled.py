"""A message with its lengths filled in differs from the one without in these alone."""

from __future__ import annotations

import tgmtool
from tests.operations.transforms.messages import each_kind, theirs
from tgmtool import MessageSpan
from tgmtool.operations.transforms.base import Unit
from tgmtool.operations.transforms.filled import filled


@each_kind()
def test_only_lengths_are_filled_in(data: bytes) -> None:
    made = b"".join(filled(Unit(data)))
    assert len(made) == len(data)
    changed = [at for at, (old, new) in enumerate(zip(data, made, strict=True)) if old != new]
    assert all(16 <= at < 24 or len(data) - 16 <= at < len(data) - 8 for at in changed)
    (span,) = tgmtool.scan(made, unit="message")
    assert isinstance(span, MessageSpan)
    assert not span.streaming


def test_messages_of_the_reference_are_filled_in_once() -> None:
    for name, data in theirs():
        made = b"".join(filled(Unit(data)))
        assert b"".join(filled(Unit(made))) == made, name
        assert len(filled(Unit(made))) == 1
