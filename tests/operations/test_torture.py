"""A writer and a reader that are killed again and again: nothing is lost, nothing comes half."""

from __future__ import annotations

import pytest

from tests.operations.torture import one_round


@pytest.mark.parametrize("seed", range(8))
def test_a_round(seed: int) -> None:
    one_round(seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1000, 1500))
def test_five_hundred_rounds(seed: int) -> None:
    one_round(seed)
