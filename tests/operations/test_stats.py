"""Minimum, mean, maximum and the number of NaN."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tests.operations.streams import Array
from tgmtool.operations.stats import statistics

NAN, INF = np.nan, np.inf


@pytest.mark.parametrize(
    ("values", "low", "mean", "high", "missing"),
    [
        (np.array([1, 2, 3], "<f4"), 1, 2, 3, 0),
        (np.array([[1, 2], [3, 6]], ">f8"), 1, 3, 6, 0),
        (np.array([NAN, 2, NAN, 4], "<f4"), 2, 3, 4, 2),
        (np.array([NAN, NAN], "<f8"), None, None, None, 2),
        (np.zeros((0, 3), "<f4"), None, None, None, 0),
        (np.array(5, "<i4"), 5, 5, 5, 0),
        (np.array([True, False]), False, 0.5, True, 0),
        (np.array([200, 250], "u1"), 200, 225, 250, 0),
        (np.array([3 + 4j, 0], "<c8"), 0, 2.5, 5, 0),
        (np.array([complex(NAN, 0), 1], "<c16"), 1, 1, 1, 1),
        (np.array([60000, 60000, 60000], "<f2"), 60000, 60000, 60000, 0),
        (np.array([-INF, 1], "<f8"), -INF, -INF, 1, 0),
        (np.array([1, 3], ml_dtypes.bfloat16), 1, 2, 3, 0),
        (np.full(10, 1e300), 1e300, 1e300, 1e300, 0),
        (np.array([2**63 - 1, 2**63 - 1], "<u8"), 2**63 - 1, 2.0**63, 2**63 - 1, 0),
    ],
)
def test_statistics(values: Array, low: Any, mean: Any, high: Any, missing: int) -> None:
    found = statistics(values)
    assert (found["min"], found["max"], found["nan"]) == (low, high, missing)
    assert found["mean"] == mean if mean is None else np.isclose(found["mean"], mean)
    assert type(found["min"]) in {float, int, bool, type(None)}


def test_a_mean_of_nothing_but_infinities_is_said_without_a_warning() -> None:
    found = statistics(np.array([INF, -INF]))
    assert np.isnan(found["mean"])
