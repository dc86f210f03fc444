"""What a cut message hides: told at its end, and handed out when its writer is said to be dead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tgmtool
from tests.operations.streams import buffered, object_ends, objects_in, piped, steps_of, streaming
from tgmtool import Gap, Message, MessageSpan, ObjectSpan, read, scan, validate
from tgmtool.operations.findings import ERROR

LARGE = streaming([0, 1], shape=(40, 40))
TORN = LARGE[: object_ends(LARGE)[0] + 200]
FIRST, BEHIND = buffered([9]), streaming([5]) + buffered([6]) + streaming([7, 8], backfill=True)
DATA = FIRST + TORN + BEHIND


def covers(found: list[Any]) -> int:
    return sum(one.length for one in found if isinstance(one, MessageSpan | Gap))


@pytest.mark.parametrize("unit", ["object", "message", "frame"])
@pytest.mark.parametrize("kind", ["bytes", "path", "pipe"])
def test_scan_goes_on_behind_it_if_its_writer_is_dead(tmp_path: Path, unit: str, kind: str) -> None:
    (tmp_path / "a.tgm").write_bytes(DATA)
    with piped(DATA) as pipe:
        source = {"bytes": DATA, "path": tmp_path / "a.tgm", "pipe": pipe}[kind]
        found = list(scan(source, unit=unit, assume_dead=True))
    [gap] = [one for one in found if isinstance(one, Gap)]
    assert gap[:4] == (len(FIRST), len(TORN), "damaged", "torn_message")
    behind = [one.offset for one in found if one.offset > gap.offset + gap.length - 1]
    shift = len(FIRST + TORN)
    assert behind == [one.offset + shift for one in scan(BEHIND, unit=unit)]
    assert unit != "message" or covers(found) == len(DATA)


@pytest.mark.parametrize("part", range(6))
def test_messages_gaps_and_tail_are_all_of_it_wherever_it_was_torn(part: int) -> None:
    for size in range(1 + part, len(LARGE), 6 * 37):
        data = FIRST + LARGE[:size] + BEHIND + LARGE[:size]
        found = list(scan(data, unit="message", assume_dead=True))
        assert covers(found) == len(data)
        assert len([one for one in found if isinstance(one, MessageSpan)]) == 4, size


def test_read_hands_out_what_stands_behind_it() -> None:
    found = list(read(DATA, on_damage="skip", assume_dead=True))
    assert [isinstance(one, Message) for one in found] == [True, False, True, True, True]
    assert steps_of(found) == [9, 5, 6, 7, 8]
    with pytest.raises(ValueError, match="skip"):
        next(read(DATA, assume_dead=True))


@pytest.mark.parametrize("level", ["quick", "checksum", "default", "full"])
def test_validate_looks_at_what_stands_behind_it(level: str) -> None:
    report = validate(DATA, level=level, assume_dead=True)
    assert (report.verdict, report.messages, report.objects) == ("invalid", 4, 5)
    assert [(one.code, one.offset, one.length) for one in report.findings if one.weight == ERROR] == [
        ("torn_message", len(FIRST), len(TORN))
    ]
    assert validate(DATA, level=level).verdict == "incomplete"
    assert validate(FIRST + TORN, level=level, assume_dead=True).verdict == "incomplete"


@pytest.mark.parametrize(
    ("behind", "text"),
    [
        (b"", None),
        (LARGE[:500], None),
        (streaming([5]), "1 whole message may stand inside it: --assume-dead"),
        (BEHIND, "3 whole messages may stand inside it: --assume-dead"),
        (BEHIND + LARGE[:500], "3 whole messages may"),
    ],
)
def test_the_line_of_a_cut_message_says_what_it_may_hide(
    tmp_path: Path, behind: bytes, text: str | None
) -> None:
    data = FIRST + TORN + behind
    (tmp_path / "a.tgm").write_bytes(data)
    for source in (data, tmp_path / "a.tgm"):
        for said in (list(scan(source))[-1].reason, validate(source).findings[-1].text):  # type: ignore[union-attr]
            assert ("whole message" in said) == (text is not None), said
            assert text is None or text in said


def test_what_stands_inside_a_proven_payload_is_not_hidden() -> None:
    inner = buffered([1]) + streaming([2])
    data = tgmtool.encode([list(inner), [3.0]], layout="streaming")
    second = [one for one in scan(data) if isinstance(one, ObjectSpan)][1]
    cut = data[: second.offset + 30]
    assert len(objects_in(data)) == 2
    for assume_dead in (False, True):
        [*_, gap] = scan(cut, unit="message", assume_dead=assume_dead)
        assert isinstance(gap, Gap)
        assert (gap.offset, gap.kind) == (0, "incomplete")
        assert "whole message" not in gap.reason
