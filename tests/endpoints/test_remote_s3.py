"""S3: the same ranges and checks as HTTP, with requests that are signed; against servers and faults."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.processes import PATIENCE
from tests.s3 import S3_ENVIRONMENT, fill, s3_client
from tests.servers import PASSING, WRONG, Answer, Fault, HttpPlace, status
from tgmtool import SourceError
from tgmtool.endpoints.access import Access, Patience
from tgmtool.endpoints.remote import RemoteSource, open_remote

CALM = Patience(stall=PATIENCE, retries=2, first_delay=0.02, longest_delay=0.05)
QUICK = CALM._replace(stall=0.2)  # where the server stalls
DATA = bytes(i * 7 % 251 for i in range(300_000)) * 6 + bytes(297_152)
MIDDLE = 100_000
URL = "s3://bucket/run.tgm"

pytest.importorskip("s3fs")


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in S3_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@contextmanager
def opened(endpoint: str, url: str = URL, **choices: Any) -> Iterator[RemoteSource]:
    source = open_remote(url, Access(endpoint_url=endpoint, **{"patience": CALM, **choices}))
    try:
        yield source
    finally:
        source.close()


def endpoint_of(place: HttpPlace) -> str:
    return f"http://127.0.0.1:{place.port}"


def query(place: HttpPlace, number: int) -> dict[str, list[str]]:
    return parse_qs(urlsplit(place.log[number].path).query)


# ---- requests, against a server that takes any signature


def test_a_request_is_signed_and_names_bucket_and_key() -> None:
    with HttpPlace(DATA) as place, opened(endpoint_of(place)) as source:
        assert bytes(source.read_apart(MIDDLE, 10)) == DATA[MIDDLE : MIDDLE + 10]
        assert urlsplit(place.log[0].path).path == "/bucket/run.tgm"
        assert query(place, 0)["X-Amz-Credential"][0].startswith("CANARY:KEYID/")


def test_without_credentials_nothing_is_signed() -> None:
    with HttpPlace(DATA) as place, opened(endpoint_of(place), anon=True):
        assert place.log[0].path == "/bucket/run.tgm"


@pytest.mark.parametrize(
    ("url", "options", "text"),
    [
        ("s3://KEY:CANARY@bucket/run.tgm", (), "credentials do not belong into an s3:// URL"),
        (URL, (("client_kwargs", "CANARY"),), "cannot be given as text"),
        (URL, (("nosuch", "CANARY"),), "nosuch"),
    ],
)
def test_what_s3_cannot_be_asked_with_is_told_without_secrets(
    url: str, options: tuple[tuple[str, str], ...], text: str
) -> None:
    with pytest.raises(SourceError, match=text) as caught:
        open_remote(url, Access(options=options))
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("code", [301, 307, 400])
def test_a_bucket_in_another_region_is_asked_there(code: int) -> None:
    def only_in_the_west(answer: Answer) -> None:
        if "us-east-1" in answer.handler.path:
            status(code, {"x-amz-bucket-region": "eu-west-1"})(answer)

    with HttpPlace(DATA, every=only_in_the_west) as place, opened(endpoint_of(place)) as source:
        assert source.size() == len(DATA)
        assert ["eu-west-1" in request.path for request in place.log] == [False, True]


@pytest.mark.parametrize("region", ["", "a.evil.example/?", "eu-west-1@evil.example", "x" * 99])
def test_what_is_no_region_is_not_followed(region: str) -> None:
    fault = status(301, {"x-amz-bucket-region": region})
    with (
        HttpPlace(DATA, every=fault) as place,
        pytest.raises(SourceError, match="301"),
        opened(endpoint_of(place)),
    ):
        pass
    assert len(place.log) == 1


def test_a_region_that_moves_again_is_told_and_not_followed() -> None:
    fault = status(301, {"x-amz-bucket-region": "eu-west-1"})
    with (
        HttpPlace(DATA, every=fault) as place,
        pytest.raises(SourceError, match="another region: --region eu-west-1"),
        opened(endpoint_of(place)),
    ):
        pass
    assert len(place.log) == 2


def test_403_is_explained_by_its_three_causes_and_the_servers_own_word() -> None:
    def forbidden(answer: Answer) -> None:
        status(403)(answer)
        answer.body = b"<Error><Code>ExpiredToken</Code><Message>CANARY</Message></Error>"
        answer.headers["Content-Length"] = str(len(answer.body))

    with (
        HttpPlace(DATA, every=forbidden) as place,
        pytest.raises(
            SourceError, match=r"\(ExpiredToken\): .*may not read.*expired.*does not exist"
        ) as caught,
        opened(endpoint_of(place)),
    ):
        pass
    assert "CANARY" not in str(caught.value)


def test_what_signed_leaves_no_event_loop_behind() -> None:
    with HttpPlace(DATA) as place, opened(endpoint_of(place)):
        pass
    gc.collect()
    loops = [one for one in gc.get_objects() if issubclass(type(one), asyncio.AbstractEventLoop)]
    assert all(loop.is_running() or loop.is_closed() for loop in loops)


# ---- versions


def numbered(answer: Answer) -> None:
    answer.headers["x-amz-version-id"] = "first"


def test_a_version_is_asked_for_by_its_number_from_then_on() -> None:
    with HttpPlace(DATA, every=numbered) as place, opened(endpoint_of(place)) as source:
        assert bytes(source.read_apart(MIDDLE, 10)) == DATA[MIDDLE : MIDDLE + 10]
        assert [query(place, number).get("versionId") for number in (0, 1)] == [None, ["first"]]


@pytest.mark.parametrize("code", [403, 404])
def test_a_version_that_may_not_be_asked_for_is_pinned_by_its_etag_alone(code: int) -> None:
    def only_the_latest(answer: Answer) -> None:
        numbered(answer)
        if "versionId" in answer.handler.path:
            status(code)(answer)

    with HttpPlace(DATA, every=only_the_latest) as place, opened(endpoint_of(place)) as source:
        assert bytes(source.read_apart(MIDDLE, 10)) == DATA[MIDDLE : MIDDLE + 10]
        place.etag = '"second"'
        with pytest.raises(SourceError, match="the object changed"):
            source.read_apart(MIDDLE + 100, 10)


# ---- faults


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_what_passes_is_tried_again(fault: Fault, at: int) -> None:
    with HttpPlace(DATA, faults={at: fault}) as place, opened(endpoint_of(place), patience=QUICK) as source:
        assert bytes(source.read_apart(MIDDLE, 9_999)) == DATA[MIDDLE : MIDDLE + 9_999]


@pytest.mark.parametrize(("fault", "text"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_an_error_and_nothing_is_read(fault: Fault, text: str) -> None:
    with HttpPlace(DATA) as place, opened(endpoint_of(place)) as source:
        place.every = fault
        with pytest.raises(SourceError, match=text) as caught:
            source.read_apart(MIDDLE, 10_000)
        assert "CANARY" not in str(caught.value)


# ---- real servers


@pytest.fixture(scope="module")
def s3(s3_server: str) -> str:
    return fill(s3_server, {"run.tgm": DATA})


def test_ranges_of_an_object_are_read(s3: str) -> None:
    with opened(s3) as source:
        assert source.size() == len(DATA)
        assert bytes(source.read_apart(MIDDLE, 500_000)) == DATA[MIDDLE : MIDDLE + 500_000]


def test_a_replaced_object_is_noticed_where_no_versions_are_kept(s3: str) -> None:
    with s3_client(s3) as client:
        client.put_object(Bucket="bucket", Key="new.tgm", Body=DATA)
        with opened(s3, "s3://bucket/new.tgm") as source:
            client.put_object(Bucket="bucket", Key="new.tgm", Body=DATA[::-1])
            with pytest.raises(SourceError, match="the object changed while it was read"):
                source.read_apart(MIDDLE, 10)


def test_a_replaced_object_is_read_as_it_was_where_versions_are_kept(s3: str) -> None:
    with s3_client(s3) as client:
        first = client.put_object(Bucket="kept", Key="run.tgm", Body=DATA)["VersionId"]
        with opened(s3, "s3://kept/run.tgm") as source:
            client.put_object(Bucket="kept", Key="run.tgm", Body=DATA[::-1])
            assert bytes(source.read_apart(MIDDLE, 10)) == DATA[MIDDLE : MIDDLE + 10]
        with opened(s3, f"s3://kept/run.tgm?versionId={first}") as source:
            assert bytes(source.read_apart(MIDDLE, 10)) == DATA[MIDDLE : MIDDLE + 10]
        with opened(s3, "s3://kept/run.tgm") as source:
            assert bytes(source.read_apart(MIDDLE, 10)) == DATA[::-1][MIDDLE : MIDDLE + 10]
