"""The corpus, made once."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.hostile import corpus


class Corpus(NamedTuple):
    """A folder, and the row of each of its files."""

    folder: Path
    rows: dict[str, corpus.Row]

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.tgm"


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Corpus:
    """All files of the corpus; without the largest but with `-m soak`."""
    folder = tmp_path_factory.mktemp("hostile")
    largest = 1 << 40 if corpus.is_soak(request.config.getoption("-m")) else corpus.LARGEST
    return Corpus(folder, {row.id: row for row in corpus.generate(folder, largest)})
