"""Sound messages pass; what is wrong with another is said as `validate` says it."""

from __future__ import annotations

import pytest

from tests import builders
from tests.operations.transforms.messages import each_kind, kinds, one, run, theirs, wrong
from tests.vectors import invalid_vectors
from tgmtool import FormatError, Limits
from tgmtool.operations.inspection import DEPTHS
from tgmtool.operations.transforms.base import Unit
from tgmtool.operations.transforms.verify import Verify, findings_of
from tgmtool.operations.validate import validate


@each_kind()
@pytest.mark.parametrize("level", ["quick", "checksum", "default", "full"])
def test_sound_messages_pass_unchanged(data: bytes, level: str) -> None:
    assert run(Verify(level), data) == data


def test_messages_of_the_reference_pass() -> None:
    for name, data in theirs():
        stage = Verify("default")
        assert run(stage, data) == data, name
        assert stage.warnings == 0, name


@pytest.mark.parametrize("layout", ["buffered", "streaming"])
def test_every_byte_that_a_digest_is_about_is_looked_at(layout: str) -> None:
    data = one(0, layout=layout)
    for frame in Unit(data).looked.frames:
        at = frame.offset + 16 + frame.header.body_size // 2
        with pytest.raises(FormatError) as caught:
            run(Verify(), [Unit(builders.flip_bit(data, at), 3, 1000, name="in")])
        assert caught.value.code == "hash_mismatch"
        assert str(caught.value).startswith(f"in: byte {1000 + frame.offset}: message 3")


def test_structure_alone_does_not_look_at_payloads() -> None:
    data = one(0)
    damaged = builders.flip_bit(data, Unit(data).message.objects[0].span.payload_offset)
    assert run(Verify("quick"), [Unit(damaged)]) == damaged


def test_findings_are_those_of_validate() -> None:
    for vector in invalid_vectors():
        for level in ("quick", "checksum", "default"):
            found = findings_of(Unit(vector.data), DEPTHS[level])
            said = {finding.code for finding in validate(vector.data, level=level).findings}
            assert {finding.code for finding in found} <= said | {"framing", "incomplete_tail"}, vector.name
            assert bool(found) == bool(said), vector.name


def test_warnings_are_counted_and_pass() -> None:
    data = builders.message([b"one"], excess=8)
    stage = Verify("default")
    assert run(stage, [Unit(data)]) == data
    assert stage.warnings == len(wrong(data)) > 0


def test_a_message_without_digests_passes_unless_they_are_required() -> None:
    data = kinds()["no-hash"]
    assert run(Verify(), data) == data
    with pytest.raises(FormatError, match="has no digest") as caught:
        run(Verify(require_hash=True), data)
    assert caught.value.code == "hash_required"
    assert run(Verify(require_hash=True), kinds()["buffered"]) == kinds()["buffered"]


def test_more_than_one_issue_is_counted() -> None:
    data = one(0, objects=2)
    for found in Unit(data).message.objects:
        data = builders.flip_bit(data, found.span.payload_offset)
    with pytest.raises(FormatError, match="1 more issues"):
        run(Verify("checksum"), [Unit(data)])


def test_what_could_not_be_looked_at_does_not_pass() -> None:
    with pytest.raises(FormatError, match="the limit is 10") as caught:
        run(Verify("default"), [Unit(one(0), limits=Limits(cbor_bytes=10))])
    assert caught.value.code == "limit_exceeded"


@pytest.mark.parametrize("data", [b"", b"x", one(0)[:-1], one(0) + one(1)])
def test_what_is_not_one_message_does_not_pass(data: bytes) -> None:
    for level in ("quick", "default"):
        with pytest.raises(FormatError):
            run(Verify(level), [Unit(data)])


def test_another_level_is_refused() -> None:
    with pytest.raises(ValueError, match="level must be one of"):
        Verify("thorough")
