"""Names from metadata stay names: in their folder, plain, whole, and few enough."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tgmtool import LimitExceeded, SourceError
from tgmtool.errors import NameRefused
from tgmtool.operations.keys import Keys
from tgmtool.operations.transforms.names import (
    NAME_BYTES,
    VALUE_BYTES,
    Folder,
    Template,
    check_count,
    escaped,
    values_of,
)


@pytest.mark.parametrize(
    ("text", "folder", "name"),
    [
        ("out/[a]_{b}.tgm", "out", "A_B.tgm"),
        ("[a].tgm", ".", "A.tgm"),
        ("/x/y/p-[a]", "/x/y", "p-A"),
        ("/[a]", "/", "A"),
        ("./[a]", ".", "A"),
        ("out/[[{a}]]{{.tgm", "out", "[A]{.tgm"),
        ("o{{1}}/[ a ]", "o{1}", "A"),
        ("[a][a][b]", ".", "AAB"),
    ],
)
def test_a_template_is_a_folder_and_a_name(text: str, folder: str, name: str) -> None:
    found = Template.parse(text)
    assert found.folder == folder
    assert found.name({"a": "A", "b": "B"}) == name


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("out/all.tgm", "has no"),
        ("[a]/[b].tgm", "file name only"),
        ("out/[a", "not closed"),
        ("out/a]", "not opened"),
        ("out/[]", "no key"),
        ("out/.[a]", "must not begin"),
        ("out/-[a]", "must not begin"),
        ("o\0/[a]", "zero byte"),
    ],
)
def test_a_template_that_cannot_be_meant_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Template.parse(text)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("2t", "2t"),
        ("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd"),
        (".bashrc", "%2Ebashrc"),
        ("-rf", "%2Drf"),
        ("a b%\n", "a%20b%25%0A"),
        ("[b]{b}", "%5Bb%5D%7Bb%7D"),
        ("ä", "%C3%A4"),
        ("\udcff", "%ED%B3%BF"),
        ("a\0b", "a%00b"),
    ],
)
def test_values_are_escaped_and_not_looked_into_again(value: str, name: str) -> None:
    assert Template.parse("d/[a]").name({"a": value, "b": "SECRET"}) == name


@given(st.text(max_size=40))
def test_any_value_makes_a_plain_name_or_none(value: str) -> None:
    try:
        name = Template.parse("d/[a].tgm").name({"a": value})
    except NameRefused:
        assert len(escaped(value)) > VALUE_BYTES
        return
    assert re.fullmatch(r"[A-Za-z0-9_%.][A-Za-z0-9._%-]*", name)
    assert name[0] != "." or not value
    assert len(name) <= NAME_BYTES


@given(st.text(max_size=30), st.text(max_size=30))
def test_two_values_never_share_a_name(one: str, other: str) -> None:
    assert (escaped(one) == escaped(other)) == (one == other)


def test_a_value_that_is_too_long_is_refused_not_cut() -> None:
    template = Template.parse("d/[a]")
    assert template.name({"a": "x" * VALUE_BYTES}) == "x" * VALUE_BYTES
    with pytest.raises(NameRefused, match=f"a takes {VALUE_BYTES + 1} bytes"):
        template.name({"a": "x" * (VALUE_BYTES + 1)})


def test_a_name_that_is_too_long_or_empty_is_refused() -> None:
    with pytest.raises(NameRefused, match="has 300 bytes"):
        Template.parse("d/[a][b][c]").name(dict.fromkeys("abc", "x" * 100))
    with pytest.raises(NameRefused, match="has 0 bytes"):
        Template.parse("d/[a]").name({"a": ""})


def test_objects_that_agree_give_a_value_and_others_do_not() -> None:
    keys = [Keys({}, None, {"p": "2t", "s": 0}), Keys({}, None, {"p": "2t", "s": 6})]
    assert values_of(keys, ["p"]) == {"p": "2t"}
    with pytest.raises(NameRefused, match="differ in s"):
        values_of(keys, ["s"])
    with pytest.raises(NameRefused, match="object 0 has no key 'q'"):
        values_of(keys, ["q"])


def test_keys_go_through_maps_only_never_to_attributes() -> None:
    with pytest.raises(NameRefused, match="no key"):
        values_of([Keys({}, None, {"p": "2t"})], ["p.__class__"])


def test_too_many_names_are_refused_with_the_option_to_raise_it() -> None:
    check_count(10, 10)
    with pytest.raises(LimitExceeded, match="--max-names"):
        check_count(11, 10)


def test_a_folder_is_made_and_files_are_opened_in_it(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "a" / "b"))
    os.close(folder.open("x", os.O_CREAT | os.O_WRONLY))
    folder.close()
    folder.close()
    assert (tmp_path / "a" / "b" / "x").exists()


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/etc/passwd", "a/b"])
def test_what_is_no_plain_name_is_not_opened(tmp_path: Path, name: str) -> None:
    folder = Folder(str(tmp_path))
    with pytest.raises(SourceError, match="no name of a file"):
        folder.open(name, os.O_RDONLY)
    folder.close()


def test_links_pipes_and_folders_are_not_opened(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("keep")
    (tmp_path / "link").symlink_to("target")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "sub").mkdir()
    folder = Folder(str(tmp_path))
    for name in ("link", "pipe", "sub"):
        for flags in (os.O_RDONLY, os.O_WRONLY | os.O_CREAT):
            with pytest.raises(SourceError):
                folder.open(name, flags)
    folder.close()
    assert (tmp_path / "target").read_text() == "keep"
