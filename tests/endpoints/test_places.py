"""One table turns a name into an endpoint."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from tgmtool import MemorySink, MemorySource, SourceError
from tgmtool.endpoints import local_path, open_sink, open_source
from tgmtool.endpoints.local import FileSink, FileSource, MappedSource
from tgmtool.endpoints.stdio import FileObjectSink, FileObjectSource, StreamSink, StreamSource


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "a file, ä.tgm"
    found.write_bytes(b"0123")
    return found


def test_a_path_is_a_file(path: Path) -> None:
    for place in (path, str(path), path.as_uri()):
        source = open_source(place)
        assert isinstance(source, FileSource)
        assert bytes(source.read_at(0, 9)) == b"0123"
        source.close()


def test_a_file_is_mapped_when_that_is_wanted(path: Path) -> None:
    source = open_source(path, mapped=True)
    assert isinstance(source, MappedSource)
    assert bytes(source.read_at(1, 1)) == b"123"
    source.close()
    path.write_bytes(b"")
    empty = open_source(path, mapped=True)  # nothing to map
    assert empty.size() == 0
    empty.close()


def test_bytes_a_file_object_and_a_source_are_sources_too() -> None:
    for data in (b"01", bytearray(b"01"), memoryview(b"01")):
        assert isinstance(open_source(data), MemorySource)
    assert isinstance(open_source(io.BytesIO(b"01")), FileObjectSource)
    source = MemorySource(b"01")
    assert open_source(source) is source


def test_a_dash_is_stdin_and_stdout(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = open_sink("-")
    assert isinstance(sink, StreamSink)
    assert (sink.name, sink.patchable) == ("<stdout>", False)
    source = open_source("-")
    assert isinstance(source, FileSource | StreamSource)
    assert source.name == "<stdin>"
    if isinstance(source, FileSource):
        source.close()


def test_a_path_or_file_object_or_sink_is_a_sink(path: Path) -> None:
    for place in (path, str(path), path.as_uri()):
        with open_sink(place) as sink:
            assert isinstance(sink, FileSink)
            sink.write([b"ab"])
        assert path.read_bytes() == b"ab"
    assert isinstance(open_sink(io.BytesIO()), FileObjectSink)
    sink = MemorySink()
    assert open_sink(sink) is sink


@pytest.mark.parametrize("place", [None, 5, 1.5, ["a"], object()], ids=repr)
def test_what_is_no_place_is_a_type_error_that_says_what_is(place: Any) -> None:
    with pytest.raises(TypeError, match="a source is a path"):
        open_source(place)
    with pytest.raises(TypeError, match="a sink is a path"):
        open_sink(place)


@pytest.mark.parametrize(
    "url", ["s3://bucket/a.tgm", "https://user:secret@host/a?token=secret", "gs://bucket/secret", "S3://x"]
)
def test_a_place_that_cannot_be_written_is_told_without_its_secrets(url: str) -> None:
    for use in (open_sink, local_path):
        with pytest.raises(SourceError, match="can be read and not written") as caught:
            use(url)
        assert "secret" not in str(caught.value)
        assert caught.value.uri == url.partition("://")[0] + "://***"


@pytest.mark.parametrize(
    ("place", "path"),
    [
        ("a.tgm", "a.tgm"),
        (Path("/x/a.tgm"), "/x/a.tgm"),
        ("file:///x/a%20b.tgm", "/x/a b.tgm"),
        ("file:///x/%C3%A4.tgm", "/x/ä.tgm"),
        ("file:///x/100%25.tgm", "/x/100%.tgm"),
        ("C:a.tgm", "C:a.tgm"),
        ("2024-02-29T00:00:00.tgm", "2024-02-29T00:00:00.tgm"),
        ("./s3://odd", "./s3://odd"),
    ],
)
def test_a_name_stands_for_a_path(place: Any, path: str) -> None:
    assert local_path(place) == path
