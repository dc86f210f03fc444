"""An index is asked where to look, and believed in nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.operations.streams import buffered, streaming
from tests.servers import HttpPlace
from tgmtool import MemorySource
from tgmtool.endpoints import open_source
from tgmtool.limits import DEFAULT_LIMITS
from tgmtool.operations.cat_remote import pick
from tgmtool.operations.index_lines import BadIndex, lines_of, parse_lines
from tgmtool.operations.scan import Scanner
from tgmtool.operations.select import where
from tgmtool.operations.wanted import Wanted

SHAPE = (120, 100)  # so that messages are not all within the first read
WHOLE = b"".join(
    [
        *(buffered([2 * i, 2 * i + 1], shape=SHAPE) for i in range(10)),
        streaming(range(20, 23), shape=SHAPE),
        streaming(range(23, 25), backfill=True, shape=SHAPE),
        buffered([], shape=SHAPE),
        *(buffered([i], shape=SHAPE) for i in range(25, 40)),
    ]
)


def rows_of(data: bytes) -> list[dict[str, Any]]:
    found = lines_of(Scanner(MemorySource(data), DEFAULT_LIMITS).run())
    return [json.loads(one) for one in found if isinstance(one, str)]


def text_of(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


ROWS = rows_of(WHOLE)


def looked_up(
    rows: list[dict[str, Any]], condition: str, data: bytes = WHOLE
) -> tuple[list[tuple[int, int, Any]], int, list[str]]:
    """Return what is found with an index, in how many requests, and what was said about the index."""
    said: list[str] = []
    lines = parse_lines(text_of(rows), size=len(data))
    with HttpPlace(data) as place:
        source = open_source(place.url)
        wanted = Wanted(where([condition]))
        found = [
            (one.found.span.message, one.found.span.number, one.values().tobytes())
            for one in pick(source, wanted, index=lines, on_bad_index=said.append)
        ]
        source.close()
        return found, len(place.log), said


def plainly(condition: str, data: bytes = WHOLE) -> list[tuple[int, int, Any]]:
    wanted = Wanted(where([condition]))
    found = pick(MemorySource(data), wanted)
    return [(one.found.span.message, one.found.span.number, one.values().tobytes()) for one in found]


def test_a_line_names_message_object_and_mars_keys_as_text() -> None:
    assert ROWS[3] == {
        "param": "2t",
        "step": "3",
        "_offset": ROWS[2]["_offset"],
        "_length": ROWS[2]["_length"],
        "_msg": 1,
        "_obj": 1,
        "_object_offset": ROWS[3]["_object_offset"],
        "_object_length": ROWS[3]["_object_length"],
    }
    message = WHOLE[ROWS[3]["_offset"] :][: ROWS[3]["_length"]]
    assert rows_of(message)[1]["step"] == "3"


def test_the_messages_of_an_index_tile_the_file() -> None:
    ends = {(row["_offset"], row["_offset"] + row["_length"]) for row in ROWS}
    at = 0
    for start, stop in sorted(ends):
        assert start == at
        at = stop
    assert at == len(WHOLE)


@pytest.mark.parametrize(
    "condition",
    ["mars.step=7", "mars.step=21", "mars.step=24/39", "mars.step>=36", "mars.step=7,dtype=float32"],
)
def test_what_an_index_finds_is_what_a_scan_finds(condition: str) -> None:
    found, requests, said = looked_up(ROWS, condition)
    assert (found, said) == (plainly(condition), [])
    assert requests <= 3 + 3 * len(found)


def test_a_key_that_no_line_names_is_looked_for_everywhere() -> None:
    assert looked_up(ROWS, "shape=120/100,mars.step=7")[0] == plainly("mars.step=7")
    assert looked_up(ROWS, "mars.levtype!=sfc,mars.step=7")[0] == plainly("mars.step=7")


def test_what_an_index_does_not_list_is_looked_through() -> None:
    without = [row for row in ROWS if row["_msg"] not in {1, 4, 25}]
    found, _, said = looked_up(without, "mars.step=3/8/37")
    assert (found, said) == (plainly("mars.step=3/8/37"), [])


def test_an_index_of_a_file_that_has_grown_finds_what_is_new() -> None:
    data = WHOLE + buffered([77], shape=SHAPE)
    found, _, said = looked_up(ROWS, "mars.step=7/77", data)
    assert (found, said) == (plainly("mars.step=7/77", data), [])


def test_what_an_index_does_not_find_is_looked_for_without_it() -> None:
    rows = [{**row, "step": "0"} if row["step"] == "7" else row for row in ROWS if "step" in row]
    assert looked_up(rows, "mars.step=7")[0] == plainly("mars.step=7")


Rows = list[dict[str, Any]]


def changed(number: int, **values: int) -> Callable[[Rows], Rows]:
    def lie(rows: Rows) -> Rows:
        more = {name: rows[number][name] + value for name, value in values.items()}
        return [{**row, **more} if at == number else row for at, row in enumerate(rows)]

    return lie


def moved(message: int, *, start: int = 0, length: int = 0) -> Callable[[Rows], Rows]:
    def lie(rows: Rows) -> Rows:
        return [
            {**row, "_offset": row["_offset"] + start, "_length": row["_length"] + length}
            if row["_msg"] == message
            else row
            for row in rows
        ]

    return lie


def two_as_one(rows: Rows) -> Rows:
    length = next(row["_length"] for row in rows if row["_msg"] == 4)
    return [row for row in moved(3, length=length)(rows) if row["_msg"] != 4]


LIES: dict[str, Callable[[Rows], Rows]] = {
    "the object of another step": lambda rows: [
        {**row, "step": "7"} if row.get("step") == "9" else row for row in rows
    ],
    "a frame beside its place": changed(7, _object_offset=8),
    "a frame longer than it is": changed(7, _object_length=1),
    "another number of the object": changed(7, _obj=1),
    "another number of the message": lambda rows: [
        {**row, "_msg": 99} if row["_msg"] == 3 else row for row in rows
    ],
    "messages that are counted twice": lambda rows: [
        {**row, "_msg": row["_msg"] + (row["_msg"] > 20)} for row in rows
    ],
    "a message that begins later": moved(3, start=8, length=-8),
    "a message that ends earlier": moved(3, length=-8),
    "two messages as one": two_as_one,
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_an_index_that_lies_is_given_up_with_one_note(lie: Callable[[Rows], Rows]) -> None:
    found, _, said = looked_up(lie(ROWS), "mars.step=7")
    assert found == plainly("mars.step=7")
    assert len(said) == 1


def test_an_index_of_another_file_is_given_up() -> None:
    other = b"".join(buffered([i], shape=(30, 10 + i)) for i in range(40))
    found, _, said = looked_up(rows_of(other), "mars.step=7")
    assert (found, len(said)) == (plainly("mars.step=7"), 1)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"TENSOGRM", "line 1 is no line"),
        (b"[1]", "line 1"),
        (b'{"_offset": 0}', "line 1"),
        (b'{"_offset": -1, "_length": 100}', "line 1"),
        (b'{"_offset": true, "_length": 100}', "line 1"),
        (b'{"_offset": 0, "_length": 100, "_obj": "x"}', "line 1"),
        (b"[" * 100_000, "line 1"),
        (b'{"_offset": 0, "_length": 9999}', "bytes 0-9998, which is not possible"),
        (b'{"_offset": 0, "_length": 3}', "not possible"),
        (b'{"_offset":0,"_length":100}\n{"_offset":50,"_length":100}', "overlaps"),
    ],
)
def test_what_is_no_index_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(BadIndex, match=reason):
        parse_lines(text, size=1000)


def test_lines_of_others_that_name_messages_alone_are_used() -> None:
    rows = [
        {key: value for key, value in row.items() if key in {"step", "_offset", "_length"}} for row in ROWS
    ]
    single = [row for row in rows if int(row.get("step", 0)) >= 25]
    found, _, said = looked_up(single, "mars.step=30")
    assert (found, said) == (plainly("mars.step=30"), [])
