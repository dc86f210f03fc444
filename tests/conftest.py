"""What all tests share: servers that take seconds to start run once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.s3 import SERVERS


@pytest.fixture(scope="session", params=SERVERS)
def s3_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The endpoint of a server that speaks S3; every test runs against each that is here."""
    is_here, run = SERVERS[request.param]
    if not is_here():
        pytest.skip(f"{request.param} is not installed")
    pytest.importorskip("s3fs")
    with run() as endpoint:
        yield endpoint
