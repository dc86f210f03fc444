"""Proxies that the environment names: used, or refused in plain words."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import HttpPlace
from tgmtool import SourceError
from tgmtool.endpoints import open_source
from tgmtool.endpoints.access import Access, Patience
from tgmtool.endpoints.connections import proxy_of

DATA = bytes(range(256)) * 100
NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpPlace]:
    """A server that answers for every other."""
    with HttpPlace(DATA) as found:
        monkeypatch.setenv("http_proxy", f"http://user:CANARY@127.0.0.1:{found.port}")
        yield found


def test_a_proxy_is_told_the_whole_url_and_its_own_password(proxy: HttpPlace) -> None:
    source = open_source("http://data.invalid/run.tgm?key=1")
    assert bytes(source.read_at(0, 9)) == DATA[:9]
    source.close()
    asked = proxy.log[0]
    assert asked.path == "http://data.invalid/run.tgm?key=1"
    assert asked.headers["Host"] == "data.invalid"
    assert asked.headers["Proxy-Authorization"] == "Basic dXNlcjpDQU5BUlk="
    assert "Authorization" not in asked.headers


def test_the_servers_password_goes_to_it_through_the_proxy(proxy: HttpPlace) -> None:
    open_source("http://me:pass@data.invalid/run.tgm").close()
    assert proxy.log[0].path == "http://data.invalid/run.tgm"
    assert proxy.log[0].headers["Authorization"] == "Basic bWU6cGFzcw=="


def test_https_goes_through_a_tunnel(proxy: HttpPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", f"http://user:CANARY@127.0.0.1:{proxy.port}")
    # This proxy knows no CONNECT, and says so: 501 is tried again, and then told.
    access = Access(patience=Patience(retries=1, first_delay=0.01))
    with pytest.raises(SourceError, match="connecting: tunnel connection failed: 501") as caught:
        open_source("https://data.invalid/run.tgm", access=access)
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("socks5://user:CANARY@127.0.0.1:1", "socks5://"),
        ("https://127.0.0.1:1", "https://127.0.0.1:1"),
        ("http://", "http://"),
        ("http://h:port", "http://h:port"),
    ],
)
def test_a_proxy_that_is_not_understood_is_refused(
    monkeypatch: pytest.MonkeyPatch, value: str, shown: str
) -> None:
    monkeypatch.setenv("all_proxy", value)
    with pytest.raises(SourceError, match=f"names a proxy for https?, {shown}") as caught:
        open_source("http://data.invalid/run.tgm")
    assert "CANARY" not in str(caught.value)
    assert "attempt" not in str(caught.value)  # it is not tried again


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "data.invalid", "sub.data.invalid"])
def test_some_servers_are_asked_directly(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.invalid:8080")
    monkeypatch.setenv("no_proxy", "data.invalid")
    assert proxy_of("http", host, 80, name="x") is None


def test_a_proxy_is_named_without_a_scheme_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "proxy.invalid:8080")
    found = proxy_of("http", "data.invalid", 80, name="x")
    assert found is not None
    assert (found.hostname, found.port) == ("proxy.invalid", 8080)
