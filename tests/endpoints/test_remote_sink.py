"""A remote object is written as a whole: it appears when it is complete, and says why when it does not."""

from __future__ import annotations

import shlex
import uuid
from pathlib import Path

import pytest

from tests.operations.pipelines import run
from tests.operations.streams import buffered
from tests.processes import tgmtool
from tests.s3 import BUCKET, S3_ENVIRONMENT, fill, s3_client
from tgmtool import SourceError
from tgmtool.endpoints.remote_sink import RemoteSink

fsspec = pytest.importorskip("fsspec")
STREAM = [buffered(range(step, step + 1), shape=(2000,)) for step in range(5)]
DATA = b"".join(STREAM)


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Of a file that fsspec writes: the plainest of the places that hold back what is not complete."""
    return f"local://{tmp_path}/copy.tgm"


def content(url: str) -> bytes | None:
    system, path = fsspec.core.url_to_fs(url)
    return bytes(system.cat_file(path)) if system.exists(path) else None


def test_an_object_appears_when_it_is_closed(url: str) -> None:
    sink = RemoteSink(url)
    sink.write([b"ab", memoryview(b"cd")])
    assert (sink.position, content(url)) == (4, None)
    sink.close()
    sink.close()
    assert content(url) == b"abcd"
    with pytest.raises(SourceError, match="already exists; use --force"):
        RemoteSink(url)
    replaced = RemoteSink(url, exclusive=False)
    replaced.write([b"new"])
    replaced.close()
    assert content(url) == b"new"


def test_an_object_that_is_given_up_never_appears(url: str) -> None:
    sink = RemoteSink(url)
    sink.write([b"abcd"])
    sink.abort()
    sink.close()
    assert content(url) is None


def test_what_cannot_be_written_says_so_without_secrets() -> None:
    with pytest.raises(SourceError, match="can be read and not written") as caught:
        RemoteSink("https://user:secret@127.0.0.1:1/a.tgm?sig=secret", exclusive=False)
    assert "secret" not in str(caught.value)
    with pytest.raises(SourceError, match="cannot be written"):
        RemoteSink("nosuchscheme://x/a.tgm")


def test_a_copy_of_what_passes(url: str, tmp_path: Path) -> None:
    out = tmp_path / "out.tgm"
    assert run([f"@tee {url}"], source=DATA, sink=out).failure is None
    assert content(url) == out.read_bytes() == DATA


@pytest.mark.parametrize(("commit", "kept"), [("", True), ("--commit=rename ", False)])
def test_after_a_failure_a_copy_holds_whole_messages_or_was_to_appear_whole(
    commit: str, kept: bool, url: str
) -> None:
    cut = shlex.join(["sh", "-c", "cat; exit 3"])
    assert run([f"@tee {commit}{url}", cut], source=DATA[:-9]).failure is not None
    found, whole = content(url), b"".join(STREAM[:-1])
    assert found is None if not kept else found is not None and found.startswith(whole)


# Not Swift: its answer to HEAD of what is absent has a body, at which the client of s3fs stumbles.
@pytest.mark.parametrize("s3_server", ["moto"], indirect=True)
def test_a_copy_to_s3(s3_server: str) -> None:
    fill(s3_server, {})
    key = f"{uuid.uuid4()}.tgm"
    environment = {**S3_ENVIRONMENT, "AWS_ENDPOINT_URL": s3_server}
    words = ("pipe", "--tee", f"s3://{BUCKET}/{key}")
    done = tgmtool(*words, stdin=DATA, env=environment)
    assert (done.status, done.err) == (0, "")
    assert done.out == DATA
    with s3_client(s3_server) as client:
        assert client.get_object(Bucket=BUCKET, Key=key)["Body"].read() == DATA
    again = tgmtool(*words, stdin=DATA, env=environment)
    assert again.status == 4
    assert "already exists; use --force" in again.err
