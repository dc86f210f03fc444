"""Every issue code is explained where the messages say it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tgmtool.operations.findings import TABLE, Code

PAGE = (Path(__file__).parents[2] / "man" / "tgm.5").read_text()


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_a_code_stands_in_the_page_of_the_format_with_its_severity_and_meaning(row: Code) -> None:
    name = row.name + ("*" if row.is_ours else "")
    text = row.text.replace("-", "\\-").replace("'", "\\(aq")
    assert f".TP\n.B {name}\n({row.severity}) {text}\n" in PAGE


def test_the_page_explains_no_other_codes() -> None:
    section = PAGE.split(".SH ISSUE CODES", 1)[1].split(".SH ", 1)[0]
    assert section.count(".TP\n") == len(TABLE)
