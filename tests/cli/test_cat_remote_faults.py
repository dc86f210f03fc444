"""Every fault a server can have: the right file, or exit status 4, one line, and no file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import tgmtool as library
from tests.cli.here import tgmtool
from tests.operations.streams import FIXED, entry, field
from tests.s3 import S3_ENVIRONMENT
from tests.servers import PASSING, WRONG, Fault, HttpPlace, dripping

SHAPE = (96, 1024)
DATA = library.encode([(field(i, SHAPE), entry(i)) for i in range(6)], layout="buffered", style=FIXED)
FAULTS: dict[str, Fault] = {
    **PASSING,
    **{name: fault for name, (fault, _) in WRONG.items()},
    "a head that drips": dripping(0.05),
}
WORDS = ("cat-remote", "-v", "--object", "4", "--as", "npy", "--timeout", "250ms", "--retries", "1")
ALL = pytest.mark.soak
SCHEMES = ("http", pytest.param("s3", marks=ALL))
PLACES = (0, *(pytest.param(at, marks=ALL) for at in (1, 2, 3)), "from the second on")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("at", PLACES)
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_the_right_file_or_none(tmp_path: Path, fault: Fault, at: int | str, scheme: str) -> None:
    with HttpPlace(DATA) as place:
        if isinstance(at, int):
            place.faults = {at: fault}
        else:
            place.faults = dict.fromkeys(range(1, 1000), fault)
        url = place.url if scheme == "http" else "s3://bucket/run.tgm"
        done = tgmtool(
            *WORDS,
            "-o",
            "x.npy",
            url,
            cwd=tmp_path,
            env={**S3_ENVIRONMENT, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{place.port}"},
        )
    assert "CANARY" not in done.err
    if done.status == 0:
        assert np.array_equal(np.load(tmp_path / "x.npy"), field(4, SHAPE))
        assert isinstance(at, int) or fault is PASSING["a shorter range"]
    else:
        assert done.status == 4, done.err
        assert os.listdir(tmp_path) == []
        assert [line for line in done.err.splitlines() if not line.endswith(" s")][1:] == []


@pytest.mark.parametrize("name", PASSING)
@pytest.mark.parametrize("at", [pytest.param(0, marks=ALL), pytest.param(1, marks=ALL), 2])
def test_what_happens_once_is_not_seen_in_the_result(tmp_path: Path, name: str, at: int) -> None:
    with HttpPlace(DATA, faults={at: PASSING[name]}) as place:
        done = tgmtool(*WORDS, "-o", "x.npy", place.url, cwd=tmp_path)
    assert done.status == 0, done.err
    assert np.array_equal(np.load(tmp_path / "x.npy"), field(4, SHAPE))


@pytest.mark.parametrize("command", ["cat-remote -v", "scan -v", "validate -v", "tail -v"])
@pytest.mark.parametrize(
    "name", ["403", *(pytest.param(name, marks=ALL) for name in ("404", "400", "another ETag"))]
)
def test_no_secret_of_s3_is_in_any_output(tmp_path: Path, command: str, name: str) -> None:
    with HttpPlace(DATA, every=WRONG[name][0]) as place:
        endpoint = f"http://127.0.0.1:{place.port}"
        reaching = ("--endpoint-url", endpoint, "--retries", "0")
        done = tgmtool(*command.split(), *reaching, "s3://bucket/run.tgm", cwd=tmp_path, env=S3_ENVIRONMENT)
        assert "CANARY%3AKEYID" in place.log[0].path
    assert done.status in {0, 1, 3, 4}
    assert "CANARY" not in done.text + done.err
    assert "X-Amz-Signature" not in done.err or "X-Amz-Signature=***" in done.err
