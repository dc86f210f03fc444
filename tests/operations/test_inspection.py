"""A message is taken in while it passes, and no number of findings hides the one that counts."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests import builders
from tests.builders import HEADER_METADATA, PRECEDER, frame, tensor
from tests.operations.streams import buffered
from tgmtool.operations.findings import Finding
from tgmtool.operations.inspection import MOST_OF_A_MESSAGE
from tgmtool.operations.requirements import Policy
from tgmtool.operations.validate import validate

METADATA = frame(HEADER_METADATA, builders.cbor({}))
ODD_PRECEDER = frame(PRECEDER, builders.cbor({"base": [{"_reserved_": {}}]}))  # a warning


def message(objects: int, last: bytes) -> bytes:
    return builders.message_of([METADATA, *[ODD_PRECEDER, tensor()] * objects, last])


DAMAGED = builders.flip_bit(tensor(b"last"), 16)


def codes(found: Sequence[Finding]) -> set[str]:
    return {one.code for one in found}


@pytest.mark.parametrize("objects", [99, 100, 101, 250])
def test_warnings_do_not_hide_an_error_behind_them(objects: int) -> None:
    report = validate(message(objects, DAMAGED))
    assert report.verdict == "invalid"
    assert "hash_mismatch" in codes(report.findings)
    assert not report.hash_verified
    assert len([one for one in report.findings if one.code != "suppressed"]) <= MOST_OF_A_MESSAGE


def test_what_is_ignored_does_not_hide_an_error_behind_it() -> None:
    policy = Policy(ignore=frozenset({"preceder_reserved"}))
    report = validate(message(250, DAMAGED), policy=policy)
    assert codes(report.findings) == {"hash_mismatch"}


def test_what_is_an_error_by_policy_is_not_hidden_by_warnings() -> None:
    odd = frame(PRECEDER, b"\xa1\x64base\x98\x01\xa0")
    data = builders.message_of([METADATA, *[ODD_PRECEDER, tensor()] * 150, odd, tensor()])
    assert validate(data).verdict == "valid"
    assert (
        validate(data, policy=Policy(errors=frozenset({"preceder_cbor_non_canonical"}))).verdict == "invalid"
    )


def test_the_rest_is_counted() -> None:
    report = validate(message(250, tensor()))
    assert len(report.findings) == MOST_OF_A_MESSAGE + 1
    assert report.findings[-1].text == "150 more issues in this message"


def test_a_finding_names_message_object_and_place() -> None:
    data = buffered(range(2))
    second = [place for place in builders.frames_of(data) if place.number == builders.TENSOR][1]
    report = validate(data + builders.flip_bit(data, second.offset + 16))
    (one,) = report.findings
    assert (one.message_index, one.object_index, one.offset) == (1, 1, len(data) + second.offset)


def test_a_message_after_a_damaged_one_is_looked_at_afresh() -> None:
    data = buffered(range(2))
    bad = builders.flip_bit(data, builders.first_frame(data, builders.TENSOR).offset + 16)
    report = validate(bad + data + bad)
    assert [one.message_index for one in report.findings] == [0, 2]
    assert (report.messages, report.objects) == (3, 6)
