"""Whole files: every message is looked at, several at a time, and nothing hides anything."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import builders
from tests.operations.streams import buffered, piped, streaming
from tgmtool.operations import validate as module
from tgmtool.operations.findings import Report
from tgmtool.operations.requirements import Policy
from tgmtool.operations.validate import LEVELS, MOST_OF_A_FILE, validate

WHOLE = buffered(range(2))
TENSOR_AT = builders.first_frame(WHOLE, builders.TENSOR).offset
ODD = builders.put(WHOLE, 12, b"\0\0\0\1")  # a reserved field: a warning
CHANGED = builders.flip_bit(WHOLE, TENSOR_AT + 20)
BROKEN = builders.flip_bit(WHOLE, TENSOR_AT + 1)  # its two ends agree, its frames do not
PIECES = {
    "whole": WHOLE,
    "one object": buffered([5]),
    "streaming": streaming(range(2)),
    "backfilled": streaming(range(2), backfill=True),
    "odd": ODD,
    "changed": CHANGED,
    "broken": BROKEN,
    "torn": WHOLE[:300],
    "torn stream": streaming(range(2))[:400],
    "foreign": b"foreign",
    "zeros": bytes(64),
    "no metadata": builders.message_of([builders.tensor()]),
    "inside": builders.message([WHOLE]),
    "unhashed": builders.message(hashing=False),
    "minimal": builders.preamble(0, 48) + builders.postamble(24, 48),
    "wrong length": builders.put(WHOLE, 16, (len(WHOLE) + 8).to_bytes(8, "big")),
}
files = st.lists(st.sampled_from(list(PIECES)), max_size=12)


def joined(names: list[str]) -> bytes:
    return b"".join(PIECES[name] for name in names)


def codes(report: Report) -> list[str]:
    return [found.code for found in report.findings]


class AtOnce(Executor):
    """Does everything where it is asked to."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        found: Future[Any] = Future()
        found.set_result(fn(*args, **kwargs))
        return found


# ---- levels


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("quick", []),
        ("checksum", ["hash_mismatch"]),
        ("default", ["hash_mismatch"]),
        ("full", ["hash_mismatch"]),
    ],
)
def test_digests_are_computed_from_level_checksum_on(level: str, expected: list[str]) -> None:
    report = validate(CHANGED, level=level)
    assert codes(report) == expected
    assert not report.hash_verified


def test_metadata_is_read_from_level_default_on() -> None:
    bad = builders.message_of([builders.frame(builders.HEADER_METADATA, b"\x80"), builders.tensor()])
    assert [codes(validate(bad, level=level)) for level in ("quick", "checksum")] == [[], []]
    assert codes(validate(bad)) == ["metadata_cbor_parse_failed"]


def test_a_level_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="level must be one of"):
        validate(WHOLE, level="thorough")


def test_what_was_looked_at_is_counted() -> None:
    report = validate(WHOLE + streaming(range(3)))
    assert (report.verdict, report.messages, report.objects) == ("valid", 2, 5)
    assert report.size == len(WHOLE) + len(streaming(range(3)))
    assert report.hash_verified


# ---- sources


def test_a_path_bytes_a_file_and_a_pipe_give_the_same_report(tmp_path: Path) -> None:
    data = joined(["whole", "changed", "foreign", "streaming", "torn"])
    path = tmp_path / "x.tgm"
    path.write_bytes(data)
    reports = [validate(str(path)), validate(data), validate(io.BytesIO(data))]
    with piped(data) as source:
        reports.append(validate(source))
    assert len({report._replace(source="") for report in reports}) == 1


@pytest.mark.parametrize("name", ["absent.tgm", "", "s3://bucket/key"])
def test_what_cannot_be_read_is_a_report_too(tmp_path: Path, name: str) -> None:
    report = validate(str(tmp_path / name) if "://" not in name else name)
    assert report.unreadable
    assert report.verdict == "unchecked"
    assert report.findings == ()


def test_progress_tells_every_byte() -> None:
    seen: list[int] = []
    data = joined(["whole", "broken", "whole", "torn"])
    validate(data, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == len(data)


# ---- policy


def test_strict_makes_errors_of_warnings() -> None:
    assert validate(ODD).verdict == "valid"
    assert validate(ODD, policy=Policy(strict=True)).verdict == "invalid"


def test_what_is_ignored_is_neither_reported_nor_counted() -> None:
    assert validate(CHANGED, policy=Policy(ignore=frozenset({"hash_mismatch"}))).findings == ()


def test_a_cut_tail_is_incomplete_unless_it_is_allowed() -> None:
    assert validate(WHOLE + WHOLE[:100]).verdict == "incomplete"
    assert validate(WHOLE + WHOLE[:100], policy=Policy(allow_incomplete=True)).verdict == "valid"
    assert validate(WHOLE + CHANGED + WHOLE[:100], policy=Policy(allow_incomplete=True)).verdict == "invalid"


def test_an_empty_file_is_invalid_unless_it_is_allowed() -> None:
    assert validate(b"").verdict == "invalid"
    assert validate(b"", policy=Policy(allow_empty=True)).verdict == "valid"
    assert codes(validate(b"", policy=Policy(allow_empty=True, min_messages=1))) == ["too_few_messages"]


def test_messages_are_counted_against_the_least_number() -> None:
    assert validate(WHOLE * 2, policy=Policy(min_messages=2)).verdict == "valid"
    assert codes(validate(WHOLE * 2, policy=Policy(min_messages=3))) == ["too_few_messages"]


@pytest.mark.parametrize("level", LEVELS)
def test_digests_may_be_required_of_every_message(level: str) -> None:
    policy = Policy(require_hash=True, ignore=frozenset({"no_hash_available"}))
    report = validate(WHOLE + PIECES["unhashed"] + WHOLE, level=level, policy=policy)
    assert [(found.code, found.message_index) for found in report.findings] == [("hash_required", 1)]


# ---- limits


@pytest.mark.parametrize("last", ["changed", "torn", "foreign"])
def test_warnings_without_number_do_not_hide_what_follows(last: str) -> None:
    report = validate(ODD * (MOST_OF_A_FILE + 10) + PIECES[last] + ODD * 5)
    plain = validate(ODD + PIECES[last] + ODD)
    assert report.verdict == plain.verdict
    assert len(report.findings) == MOST_OF_A_FILE + 1
    assert report.findings[-1].code == "suppressed"


def test_an_incomplete_tail_behind_many_warnings_is_still_incomplete() -> None:
    assert validate(ODD * (MOST_OF_A_FILE + 1) + WHOLE[:100]).verdict == "incomplete"


def test_a_report_is_bounded_however_much_is_wrong() -> None:
    report = validate(CHANGED * (MOST_OF_A_FILE + 234))
    assert len(report.findings) == MOST_OF_A_FILE + 1
    assert report.findings[-1].text == "234 more issues in this file"
    assert report.messages == MOST_OF_A_FILE + 234


# ---- several at once


@given(files, st.sampled_from(LEVELS), st.sampled_from([1, 2, 3, 512]))
@settings(max_examples=150, deadline=None)
def test_any_number_of_jobs_gives_the_same_report(names: list[str], level: str, batch: int) -> None:
    data = joined(names)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BATCH_MESSAGES", batch)
        alone = validate(data, level=level)
        for jobs in (2, 4):
            assert validate(data, level=level, jobs=jobs) == alone
        assert validate(data, level=level, jobs=2, executor=AtOnce()) == alone


@given(files, st.sampled_from(LEVELS))
@settings(max_examples=150, deadline=None)
def test_how_messages_are_batched_changes_nothing(names: list[str], level: str) -> None:
    data = joined(names)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BATCH_MESSAGES", 1)
        alone = validate(data, level=level)
    assert validate(data, level=level) == alone


def _no_policy(*_: object) -> Iterator[tuple[str, str]]:
    return iter(())


@given(files, st.sampled_from(["quick", "checksum"]), st.data())
@settings(max_examples=300, deadline=None)
def test_the_fast_way_over_usual_messages_says_what_the_slow_one_does(
    names: list[str], level: str, chosen: st.DataObject
) -> None:
    data = joined(names)
    if data and chosen.draw(st.booleans()):
        data = builders.flip_bit(
            data, chosen.draw(st.integers(0, len(data) - 1)), chosen.draw(st.integers(0, 7))
        )
    slow = validate(data, level=level, policy=Policy(messages=(_no_policy,)))
    assert validate(data, level=level) == slow


@given(files)
@settings(max_examples=100, deadline=None)
def test_whole_messages_are_found_whatever_stands_between_them(names: list[str]) -> None:
    least = sum(name in {"whole", "one object", "backfilled"} for name in names)
    report = validate(joined(names))
    if "torn stream" not in names and "torn" not in names:
        assert report.messages >= least
    if set(names) <= {"whole", "one object", "streaming", "backfilled", "odd"} and names:
        assert (report.verdict, report.messages) == ("valid", len(names))


def test_a_pool_of_the_caller_is_used_and_left_open() -> None:
    with ThreadPoolExecutor(2) as pool:
        assert validate(WHOLE * 50, executor=pool).messages == 50
        assert pool.submit(lambda: 5).result() == 5


@pytest.mark.parametrize("bad", [1, 40])
def test_damage_among_many_messages_costs_no_second_look_at_all_of_them(bad: int) -> None:
    looks = 0

    def count(*_: object) -> Iterator[tuple[str, str]]:
        return iter(())

    class Counting(module._Run):
        def _walk(self, at: int) -> int:
            nonlocal looks
            looks += 1
            return super()._walk(at)

    data = WHOLE * 400 + BROKEN * bad + WHOLE * 300
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_Run", Counting)
        report = validate(data, level="quick", policy=Policy(messages=(count,)))
    assert report.messages == 700
    assert looks <= bad + 512  # those that share a batch with damage are looked at one by one
