"""Looking keys up, and filling templates."""

from __future__ import annotations

from typing import Any

import pytest

from tests.operations.streams import buffered, streaming
from tgmtool import Gap, Message, MessageSpan, Notice, read, scan, tail
from tgmtool.messages.spans import Piece
from tgmtool.operations.keys import MISSING, Keys, fill, keys_of, text_of

KEYS = Keys(
    {"_offset": 40},
    {"dtype": "float32", "shape": [2, 3]},
    {
        "mars": {"step": 6, "param": "2t", "deep": {"er": 1}},
        "a.b": "dotted",
        "a": {"b": "nested", "c": 2, "d.e": 3},
        "dtype": "of the metadata",
        "_offset": "of the metadata",
        "zero": 0,
        "brace": "{mars.step}",
    },
    {"mars": {"class": "rd", "step": "of the message"}, "title": "a run"},
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mars.step", 6),
        ("mars.deep.er", 1),
        ("mars.deep", {"er": 1}),
        ("mars", {"step": 6, "param": "2t", "deep": {"er": 1}}),
        ("a.b", "dotted"),
        ("a.c", 2),
        ("a.d.e", 3),
        ("zero", 0),
        ("dtype", "float32"),
        ("shape", [2, 3]),
        ("_offset", 40),
        ("mars.class", "rd"),
        ("title", "a run"),
    ],
)
def test_a_key_is_found(name: str, value: Any) -> None:
    assert KEYS.get(name) == value


@pytest.mark.parametrize(
    "name", ["step", "mars.", ".step", "", ".", "mars.step.more", "a.x", "a.b.c", "_msg"]
)
def test_what_is_not_there_is_missing_and_not_an_error(name: str) -> None:
    assert KEYS.get(name) is MISSING


def test_a_record_has_everything_and_computed_keys_win() -> None:
    record = KEYS.record()
    assert record["_offset"] == 40
    assert record["dtype"] == "float32"
    assert record["_extra"]["title"] == "a run"


def test_names_in_a_namespace_are_dotted_and_in_order() -> None:
    assert KEYS.names_in("mars") == ["mars.step", "mars.param", "mars.deep"]
    assert KEYS.names_in("title") == KEYS.names_in("none") == []


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{mars.param} {mars.step}", "2t 6"),
        ("{mars.step}", "6"),
        ("no key", "no key"),
        ("", ""),
        ("{{{mars.step}}}", "{6}"),
        ("{{mars.step}}", "{mars.step}"),
        ("{shape}/{dtype}@{_offset}", "2/3/float32@40"),
        ("[{missing}]", "[]"),
        ("[{}]", "[]"),
        ("{brace}", "{mars.step}"),
        ("{zero}{zero}", "00"),
        ("{mars.step:>5}", ""),
    ],
)
def test_a_template_is_filled_in_one_pass(template: str, text: str) -> None:
    assert fill(template)(KEYS) == text


@pytest.mark.parametrize("template", ["{", "a{b", "}", "a}b", "{a}}", "{{a}"])
def test_a_lonely_brace_is_an_error(template: str) -> None:
    with pytest.raises(ValueError, match="brace"):
        fill(template)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (MISSING, ""),
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (b"\x01\xff", "01ff"),
        ([1, [2, 3]], "1/2/3"),
        ((), "-"),
        ({"a": 1, "b": None}, "a=1,b=null"),
        (0.1, "0.1"),
        (1e300, "1e+300"),
        (12345678901234567890, "12345678901234567890"),
    ],
)
def test_a_value_is_one_word(value: Any, text: str) -> None:
    assert text_of(value) == text


def test_all_that_operations_yield_has_keys() -> None:
    data = buffered() + b"junk" + streaming()[:-30]
    found: list[Any] = [one for unit in ("object", "message", "frame") for one in scan(data, unit=unit)]
    found += read(buffered())
    found += [Notice("cut", "f", 3, 4, "incomplete_tail", "why"), Piece(1, 2, True, False, False)]
    found += [one for one in tail(buffered_source(), last=None) if not isinstance(one, Message)]
    kinds = set()
    for one in found:
        record = keys_of(one, file="run.tgm").record()
        assert record["_file"] == "run.tgm"
        kinds.add(type(one))
        if not isinstance(one, Notice | Piece):
            assert record["_status"] in {"ok", "open", "incomplete", "foreign", "damaged"}
    assert len(kinds) == 8


def buffered_source() -> Any:
    from tgmtool import MemorySource

    return MemorySource(buffered())


@pytest.mark.parametrize(
    ("data", "mode"),
    [(buffered(), "buffered"), (streaming(), "streaming"), (streaming(backfill=True), "backfilled")],
)
def test_the_mode_says_how_a_message_was_written(data: bytes, mode: str) -> None:
    (message,) = read(data)
    assert isinstance(message, Message)
    assert keys_of(message, file="f").get("_mode") == mode


def test_a_gap_says_what_and_why() -> None:
    gap = Gap(10, 5, "foreign", "foreign_bytes", "no message")
    record = keys_of(gap, file="f").record()
    assert (record["_status"], record["_code"], record["_reason"]) == (
        "foreign",
        "foreign_bytes",
        "no message",
    )


def test_a_message_span_knows_the_message_keys_it_is_given() -> None:
    keys = keys_of(MessageSpan(0, 100), file="f", extra={"title": "a run"})
    assert keys.get("title") == "a run"
