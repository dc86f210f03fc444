"""Mutated messages: scanned, validated and decoded, and nothing but answers comes of it.

The normal run samples; `pytest -m soak`, or `python -m tests.hostile.mutate`, tries a million.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.corpus import is_soak
from tests.hostile.mutate import run
from tests.hostile.mutations import Mutator, attempt, seeds, taken_apart
from tests.vectors import valid_vectors

SAMPLE, WHOLE = 3_000, 1_000_000
OF_THE_SAMPLE = 700_000  # its first number
MEGABYTES = 1536
FOUND = sorted((Path(__file__).parent / "found").glob("*.tgm"))


def test_no_mutation_of_a_sample_breaks_a_promise() -> None:
    mutator = Mutator()
    for number in range(OF_THE_SAMPLE, OF_THE_SAMPLE + SAMPLE):
        try:
            attempt(mutator.made(number))
        except Exception as error:
            raise AssertionError(f"input {number}: {error!r}") from error


def test_the_runner_tells_what_came_of_every_input() -> None:
    outcome = run(200, first=OF_THE_SAMPLE + SAMPLE, jobs=2)
    assert outcome.failures == []
    assert sum(outcome.verdicts.values()) == outcome.done == 200
    assert 0 < outcome.megabytes < MEGABYTES


@pytest.mark.soak
def test_no_mutation_of_a_million_breaks_a_promise(
    capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    if not is_soak(request.config.getoption("-m")):
        pytest.skip("most of an hour; pytest -m soak runs it")
    outcome = run(WHOLE, jobs=2)
    with capsys.disabled():
        print(f"\n{outcome.done} mutated inputs in {outcome.seconds:.0f} s, {outcome.megabytes} MB at most")
    assert outcome.failures == []
    assert sum(outcome.verdicts.values()) == WHOLE
    assert outcome.megabytes < MEGABYTES


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_what_once_broke_a_promise_does_so_no_more(path: Path) -> None:
    attempt(path.read_bytes())


def test_an_input_is_the_same_in_every_process() -> None:
    one, other = Mutator(), Mutator()
    assert [one.made(number) for number in range(50)] == [other.made(number) for number in range(50)]


def test_taking_apart_and_putting_together_gives_back_what_the_reference_wrote() -> None:
    tried = 0
    for vector in valid_vectors():
        parts = taken_apart(vector.data) if len(vector.messages) == 1 else None
        if parts is not None:
            tried += parts.packed() == vector.data
    assert tried > 100


def test_the_seeds_are_many_and_small() -> None:
    assert len(seeds()) > 300
