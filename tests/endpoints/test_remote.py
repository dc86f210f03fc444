"""A remote object, read in ranges: the right bytes or a clear error, whatever the server does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.processes import PATIENCE
from tests.servers import (
    PASSING,
    WRONG,
    Answer,
    Fault,
    HttpPlace,
    Sparse,
    compressed,
    dripping,
    dropped,
    refusing,
    stalled,
    status,
    whole,
)
from tgmtool import LimitExceeded, SourceError
from tgmtool.endpoints import is_remote, open_source
from tgmtool.endpoints.access import Access, Patience
from tgmtool.endpoints.ranges import Range
from tgmtool.endpoints.remote import PIECE, SUFFIX, RemoteSource, open_remote

CALM = Patience(stall=PATIENCE, retries=2, first_delay=0.02, longest_delay=0.05)
QUICK = CALM._replace(stall=0.2)  # where the server stalls
DATA = bytes(i * 7 % 251 for i in range(300_000))
MIDDLE = 100_000  # not within the suffix


@contextmanager
def opened(place: HttpPlace, **choices: Any) -> Iterator[RemoteSource]:
    source = open_remote(place.url, Access(patience=choices.pop("patience", CALM), **choices))
    try:
        yield source
    finally:
        source.close()


def read(source: RemoteSource, offset: int, size: int) -> bytes:
    """Read all of it, in as many reads as it takes."""
    found = bytearray()
    while len(found) < size:
        piece = source.read_at(offset + len(found), size - len(found))
        assert piece
        found += piece
    return bytes(found)


def ranges(place: HttpPlace) -> list[str]:
    return [request.range.removeprefix("bytes=") for request in place.log]


# ---- reading


def test_one_read_of_the_last_bytes_tells_the_size() -> None:
    with HttpPlace(DATA) as place, opened(place) as source:
        assert source.size() == len(DATA)
        assert bytes(source.read_at(len(DATA) - 10, 99)) == DATA[-10:]
        assert ranges(place) == [f"-{SUFFIX}"]
        assert source.read_at(len(DATA), 1) == b""


@pytest.mark.parametrize("size", [0, 1, 100, SUFFIX, SUFFIX + 1])
def test_an_object_of_any_size_is_read(size: int) -> None:
    with HttpPlace(DATA[:size]) as place, opened(place) as source:
        assert source.size() == size
        assert read(source, 0, size) == DATA[:size]
        assert len(place.log) <= 2


def test_every_read_gives_the_bytes_that_stand_there() -> None:
    with HttpPlace(DATA) as place, opened(place) as source:
        for offset in (0, 1, 150_000, 4, 70_000, 299_999, 120_000, 90_000, 234_400):
            for size in (1, 48, 5_000, 70_000):
                wanted = DATA[offset : offset + size]
                assert read(source, offset, len(wanted)) == wanted
        assert read(source, 0, len(DATA)) == DATA


def test_what_was_read_is_not_asked_for_again() -> None:
    with HttpPlace(DATA) as place, opened(place) as source:
        for _ in range(3):
            read(source, MIDDLE, 4096)
        assert len(place.log) == 2


def test_reads_that_go_straight_on_ask_for_more_each_time() -> None:
    with HttpPlace(Sparse(20 << 20, {})) as place, opened(place) as source:
        for offset in range(0, 20 << 20, 4096):
            read(source, offset, 4096)
        assert len(place.log) <= 16


def test_a_stride_is_noticed_and_its_next_places_come_together() -> None:
    with HttpPlace(Sparse(300 << 20, {})) as place, opened(place) as source:
        for offset in range(0, 300 << 20, 1 << 20):
            read(source, offset, 48)
        assert source.spent.received < 64 * 1024 * 2 + 310 * 48
        # All but the first few were asked for before they were wanted.
        assert len(place.log) <= 302


def test_a_large_read_comes_in_pieces_at_once() -> None:
    together = threading.Barrier(8, timeout=PATIENCE)

    def wait_for_the_others(answer: Answer) -> None:
        if answer.stop - answer.start == PIECE:
            together.wait()

    size = 8 * PIECE
    with (
        HttpPlace(Sparse(size + SUFFIX, {PIECE: b"x", size - 1: b"y"}), every=wait_for_the_others) as place,
        opened(place) as source,
    ):
        found = bytes(source.read_apart(0, size))
        assert (len(found), found[PIECE], found[-1]) == (size, 120, 121)
        assert len(place.log) == 9


def test_of_a_read_only_what_is_not_here_is_asked_for() -> None:
    with HttpPlace(DATA) as place, opened(place) as source:
        source.prefetch([Range(100, 200), Range(90_000, 90_100)])
        assert bytes(source.read_apart(0, len(DATA))) == DATA
        end = len(DATA) - SUFFIX - 1
        assert sorted(ranges(place)[3:]) == sorted(["0-99", "200-89999", f"90100-{end}"])


def test_prefetched_ranges_are_joined_and_come_in_one_request() -> None:
    with HttpPlace(DATA) as place, opened(place) as source:
        source.prefetch([Range(0, 10), Range(1000, 1010), Range(500, 700)])
        assert bytes(source.read_at(1000, 10)) == DATA[1000:1010]
        assert ranges(place)[1:] == ["0-1009"]


def test_a_stream_comes_in_order_with_several_pieces_on_their_way() -> None:
    together = threading.Barrier(3, timeout=PATIENCE)
    size = 6 * PIECE
    pieces = {i * PIECE: bytes([i + 1]) for i in range(6)}

    def wait_for_the_others(answer: Answer) -> None:
        if answer.stop - answer.start == PIECE:
            together.wait()

    with (
        HttpPlace(Sparse(size, pieces), every=wait_for_the_others) as place,
        opened(place, concurrency=3) as source,
    ):
        found = list(source.stream(Range(0, size)))
        assert [bytes(piece[:1])[0] for piece in found] == [1, 2, 3, 4, 5, 6]
        assert sum(map(len, found)) == size


def test_what_is_beyond_the_limit_is_refused_and_says_which_option() -> None:
    with HttpPlace(DATA) as place, opened(place, max_bytes=80_000) as source:
        with pytest.raises(LimitExceeded, match="the limit is 80000, raise it with --max-bytes"):
            source.read_apart(0, 100_000)
        source.prefetch([Range(0, 100_000)])
        assert len(place.log) == 1


def test_what_is_only_guessed_does_not_use_up_the_limit() -> None:
    with HttpPlace(DATA) as place, opened(place, max_bytes=SUFFIX + 300) as source:
        assert [read(source, at, 100) for at in (0, 100, 200)] == [
            DATA[at : at + 100] for at in (0, 100, 200)
        ]
        with pytest.raises(LimitExceeded):
            source.read_at(300, 1)
        assert source.spent.received == SUFFIX + 300


def test_several_threads_read_one_object() -> None:
    with HttpPlace(DATA) as place, opened(place) as source:
        found: dict[int, bytes] = {}
        threads = [
            threading.Thread(target=lambda at=at: found.update({at: read(source, at, 999)}))
            for at in range(0, 200_000, 20_000)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert found == {at: DATA[at : at + 999] for at in range(0, 200_000, 20_000)}


# ---- faults that pass


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_what_passes_is_tried_again(fault: Fault, at: int) -> None:
    with HttpPlace(DATA, faults={at: fault}) as place, opened(place, patience=QUICK) as source:
        assert bytes(source.read_apart(MIDDLE, 9_999)) == DATA[MIDDLE : MIDDLE + 9_999]
        assert len(place.log) in {2, 3}  # 2: a first contact that brings less has no need of another


def test_after_a_drop_only_the_rest_is_asked_for() -> None:
    with HttpPlace(DATA, faults={1: stalled(4_000)}) as place, opened(place, patience=QUICK) as source:
        assert bytes(source.read_apart(0, 10_000)) == DATA[:10_000]
        assert ranges(place)[1:] == ["0-9999", "4000-9999"]


@pytest.mark.parametrize("fault", [dropped(10), stalled(0), status(503)])
def test_what_does_not_pass_is_given_up(fault: Fault) -> None:
    with HttpPlace(DATA) as place, opened(place, patience=QUICK) as source:
        place.every = fault
        with pytest.raises(SourceError, match=r"gave up after 3 attempts"):
            source.read_apart(0, 10_000)
        assert len(place.log) == 4


def test_a_server_that_wants_a_longer_wait_than_there_is_time_is_given_up_at_once() -> None:
    with HttpPlace(DATA, every=status(503, {"Retry-After": "3600"})) as place:
        with pytest.raises(SourceError, match=r"503 .*, and asks to wait 3600 s"), opened(place):
            pass
        assert len(place.log) == 1


@pytest.mark.parametrize(
    ("fault", "step"), [(stalled(0), "reading: no data for 0.2 s"), (status(503), "the server answers 503")]
)
def test_the_error_names_the_step(fault: Fault, step: str) -> None:
    with (
        HttpPlace(DATA, every=fault) as place,
        pytest.raises(SourceError, match=step),
        opened(place, patience=QUICK),
    ):
        pass


# ---- faults that do not pass: never a wrong byte


@pytest.mark.parametrize(("fault", "text"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_an_error_and_nothing_is_read(fault: Fault, text: str) -> None:
    data = DATA * 6 + bytes((2 << 20) - 6 * len(DATA))
    with HttpPlace(data) as place, opened(place) as source:
        place.every = fault
        with pytest.raises(SourceError, match=text):
            source.read_apart(MIDDLE, 10_000)


def test_an_object_that_was_replaced_is_noticed_before_a_byte_of_the_new_one() -> None:
    with HttpPlace(DATA) as place, opened(place) as source:
        read(source, 0, 10)
        place.data, place.etag = DATA[::-1], '"second"'
        with pytest.raises(SourceError, match="changed"):
            source.read_apart(MIDDLE, 10)
        assert place.log[-1].headers["If-Match"] == '"first"'


def test_without_an_etag_another_size_shows_a_replaced_object() -> None:
    with HttpPlace(DATA, etag=None) as place, opened(place) as source:
        place.data = DATA + b"x"
        with pytest.raises(SourceError, match="it has 300001 bytes now instead of 300000"):
            source.read_apart(MIDDLE, 10)


def test_a_server_that_ignores_range_is_noticed_after_its_headers() -> None:
    size = 1 << 40
    sent = threading.Event()

    def endless(answer: Answer) -> None:
        answer.status, answer.headers = 200, {"Content-Length": str(size)}
        answer.body, answer.cut, answer.stall = b"x" * 1000, 1000, True
        sent.set()

    with HttpPlace(Sparse(size, {}), every=endless) as place:
        with pytest.raises(SourceError, match="ignores Range"), opened(place):
            pass
        assert sent.is_set()
        assert len(place.log) == 1


def test_all_of_it_is_taken_from_a_server_that_ignores_range_if_allowed() -> None:
    data = DATA * 6
    with HttpPlace(data, every=whole) as place, opened(place, allow_full_read=True) as source:
        assert read(source, 0, len(data)) == data
        assert len(place.log) == 1
    with (
        HttpPlace(data, every=whole) as place,
        pytest.raises(SourceError, match="ignores Range"),
        opened(place, allow_full_read=True, max_bytes=1_500_000),
    ):
        pass


def test_a_small_object_is_taken_whole_from_a_server_that_ignores_range() -> None:
    with HttpPlace(DATA, every=whole) as place, opened(place) as source:
        assert read(source, 0, len(DATA)) == DATA


def test_a_server_that_knows_no_suffix_is_asked_from_the_start() -> None:
    def no_suffix(answer: Answer) -> None:
        if answer.handler.headers["Range"].startswith("bytes=-"):
            status(501)(answer)

    with HttpPlace(DATA, every=no_suffix) as place, opened(place) as source:
        assert source.size() == len(DATA)
        assert bytes(source.read_apart(10, 100_000)) == DATA[10:100_010]
        assert read(source, MIDDLE, 100) == DATA[MIDDLE : MIDDLE + 100]
        source.prefetch([Range(0, len(DATA))])
        assert read(source, 0, len(DATA)) == DATA


def test_a_server_that_sends_a_byte_at_a_time_is_given_up() -> None:
    def a_byte(answer: Answer) -> None:
        answer.body = answer.body[:1]
        answer.headers["Content-Range"] = f"bytes {answer.start}-{answer.start}/{len(DATA)}"
        answer.headers["Content-Length"] = "1"

    with HttpPlace(DATA) as place, opened(place) as source:
        place.every = a_byte
        with pytest.raises(SourceError, match="less than was asked for"):
            source.read_apart(0, 10_000)
        assert len(place.log) == 4


def test_a_server_that_sends_large_pieces_of_a_range_is_read() -> None:
    def at_most(answer: Answer) -> None:
        if (size := answer.stop - answer.start) > 1 << 16:
            answer.body = answer.body[: 1 << 16]
            total = f"{answer.start}-{answer.start + (1 << 16) - 1}/{len(DATA)}"
            answer.headers.update({"Content-Range": f"bytes {total}", "Content-Length": str(1 << 16)})
            assert size > len(answer.body)

    with HttpPlace(DATA, every=at_most) as place, opened(place) as source:
        assert bytes(source.read_apart(0, len(DATA))) == DATA


def test_a_whole_object_that_is_compressed_is_refused() -> None:
    def both(answer: Answer) -> None:
        whole(answer)
        compressed(answer)

    with (
        HttpPlace(DATA, every=both) as place,
        pytest.raises(SourceError, match="compresses the object"),
        opened(place),
    ):
        pass


def test_a_server_that_refuses_every_range_is_given_up() -> None:
    with (
        HttpPlace(DATA, every=refusing) as place,
        pytest.raises(SourceError, match="416: the server refuses the range"),
        opened(place),
    ):
        pass
    assert ranges(place) == [f"-{SUFFIX}", f"0-{SUFFIX - 1}"]


def test_a_head_that_drips_has_a_deadline_too() -> None:
    with HttpPlace(DATA) as place, opened(place, patience=QUICK) as source:
        place.every = dripping(0.02)
        with pytest.raises(SourceError, match=r"waiting for an answer: none in 0\.2 s"):
            source.read_apart(0, 10)


def test_a_server_that_closes_after_each_answer_is_read() -> None:
    def closing(answer: Answer) -> None:
        answer.headers["Connection"] = "close"

    with HttpPlace(DATA, every=closing) as place, opened(place) as source:
        assert bytes(source.read_apart(10, 200_000)) == DATA[10:200_010]
        assert read(source, 0, len(DATA)) == DATA


def test_nobody_listens_is_said_at_once() -> None:
    with HttpPlace(DATA) as place:
        port = place.port
    with pytest.raises(SourceError, match=f"^http://127.0.0.1:{port}/run.tgm: connecting: "):
        open_source(f"http://127.0.0.1:{port}/run.tgm")


def test_closing_ends_what_waits_in_other_threads() -> None:
    with HttpPlace(DATA) as place:
        source = open_remote(place.url)
        place.every = stalled(0)
        errors: list[BaseException] = []

        def reading() -> None:
            try:
                source.read_apart(0, 10)
            except SourceError as error:
                errors.append(error)

        thread = threading.Thread(target=reading)
        thread.start()
        while len(place.log) < 2:
            threading.Event().wait(0.005)
        source.close()
        thread.join(PATIENCE)
        assert "closed while it was read" in str(errors[0])


# ---- redirects


def test_a_redirect_on_the_same_server_is_followed_with_its_password() -> None:
    def once(answer: Answer) -> None:
        if answer.handler.path == "/run.tgm":
            status(307, {"Location": "/elsewhere"})(answer)

    with HttpPlace(DATA, every=once) as place:
        url = place.url.replace("http://", "http://user:pass%20word@")
        source = open_source(url)
        source.close()
        assert [request.path for request in place.log] == ["/run.tgm", "/elsewhere"]
        assert {request.headers["Authorization"] for request in place.log} == {"Basic dXNlcjpwYXNzIHdvcmQ="}


def test_a_redirect_to_another_server_is_followed_only_if_allowed_and_without_the_password() -> None:
    with HttpPlace(DATA) as other, HttpPlace(DATA, every=status(302, {"Location": other.url})) as place:
        url = place.url.replace("http://", "http://user:password@")
        with pytest.raises(SourceError, match=r"redirected to another server, http://127\.0\.0\.1"):
            open_source(url)
        source = open_source(url, access=Access(options=(("cross_origin", "true"),)))
        assert source.size() == len(DATA)
        source.close()
        assert "Authorization" not in other.log[0].headers


# ---- other places


def test_what_only_fsspec_knows_is_read_through_it() -> None:
    import fsspec

    system = fsspec.filesystem("memory")
    system.pipe("/folder/run.tgm", DATA)
    source = open_source("memory://folder/run.tgm")
    assert isinstance(source, RemoteSource)
    assert read(source, MIDDLE, 5_000) == DATA[MIDDLE : MIDDLE + 5_000]
    system.pipe("/folder/run.tgm", DATA + b"x")
    with pytest.raises(SourceError, match="the object changed"):
        source.read_apart(0, 10)
    source.close()
    with pytest.raises(SourceError, match="memory://folder/none"):
        open_source("memory://folder/none")


def test_a_scheme_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(SourceError, match="unheard://x: cannot be reached"):
        open_source("unheard://x")


@pytest.mark.parametrize("url", ["http://a b/x", "http://a..b/x", f"http://{'a' * 70}.example/x"])
def test_a_server_that_no_name_can_be_is_an_error(url: str) -> None:
    with pytest.raises(SourceError, match="the name of the server cannot be one"):
        open_source(url)


def test_what_a_url_may_not_hold_is_asked_for_all_the_same() -> None:
    with HttpPlace(DATA) as place:
        open_source(f"{place.url}/a b\udcff?x= '\udcff'&y=%20").close()
        assert place.log[0].path == "/run.tgm/a%20b%FF?x=%20'%FF'&y=%20"


def test_a_file_system_that_fails_at_once_is_an_error_that_names_the_place() -> None:
    with pytest.raises(SourceError, match=r"ftp://\*\*\*@127.0.0.1:1/x: cannot be reached"):
        open_source("ftp://user:password@127.0.0.1:1/x")


@pytest.mark.parametrize(
    "url", ["http://", "http:///x", "https://host:port/x", "http://[::1/x", "s3://", "s3://bucket", "s3:///x"]
)
def test_what_is_no_url_is_an_error(url: str) -> None:
    with pytest.raises(SourceError, match="no URL"):
        open_source(url)


@pytest.mark.parametrize(
    ("place", "remote"),
    [
        ("s3://b/k", True),
        ("https://h/x", True),
        ("abfs+x://h", True),
        ("simplecache::https://h/x", True),
        ("file:///x", False),
        ("a.tgm", False),
        ("./s3://odd", False),
        ("-", False),
    ],
)
def test_a_remote_place_is_told_by_its_scheme(place: str, remote: bool) -> None:
    assert is_remote(place) is remote
