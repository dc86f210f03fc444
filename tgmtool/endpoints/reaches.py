"""From a URL to the way its place is reached: THE table of remote schemes.

It is separate because fsspec and its kin are loaded here, and only for who needs them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..errors import SourceError
from .address import Address, SignedAddress
from .http import HttpReach
from .reach import Attempts, Contact, MissingObject, ObjectChanged, Passing, Reach
from .secrets import redact, redact_url

if TYPE_CHECKING:
    from .access import Access

_SIGNED_FOR = 3600  # seconds; `SignedAddress` makes a new one long before


def reach_of(url: str, access: Access) -> Reach:
    """Return how to reach `url`.

    Raises:
        SourceError: The URL is none, or what its scheme needs is not installed.
    """
    scheme = url.partition("://")[0].lower()
    return _REACHES.get(scheme, _through_fsspec)(url, access)


def _http(url: str, access: Access) -> Reach:
    plain = url.partition("#")[0]
    try:
        parts = urlsplit(plain)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        raise SourceError("this is no URL of an object", uri=redact_url(url))
    return HttpReach(Address(plain, redact_url(plain)), **_common(access))


def _s3(url: str, access: Access) -> Reach:
    """S3: s3fs knows the credentials and signs, and our own client asks and checks."""
    name = redact_url(url)
    try:
        import s3fs
    except ImportError as error:
        raise SourceError("s3:// needs the package s3fs", uri=name) from error
    plain = url.partition("#")[0]
    bucket, _, key = plain.partition("://")[2].partition("/")
    if "@" in bucket:
        raise SourceError(
            "credentials do not belong into an s3:// URL: use --profile or the environment", uri=name
        )
    if not bucket or not key:
        raise SourceError("this is no URL of an object: expected s3://BUCKET/KEY", uri=name)
    names_version = "?versionId=" in plain
    options = _options(access)
    client = options.pop("client_kwargs", {})
    if not isinstance(client, dict):
        raise SourceError("--storage-option client_kwargs cannot be given as text", uri=name)
    if access.endpoint_url:
        options["endpoint_url"] = access.endpoint_url
    if access.profile:
        options["profile"] = access.profile
    anon = access.anon or options.pop("anon", "") in {"true", "1", "yes"}
    config = {} if anon else {"signature_version": "s3v4"}

    def signer(region: str | None) -> Callable[[str | None], str]:
        named = region or access.region
        kwargs = {**client, "region_name": named} if named else client
        system = s3fs.S3FileSystem(
            anon=anon,
            client_kwargs=kwargs,
            config_kwargs=config,
            skip_instance_cache=True,
            version_aware=names_version,
            **options,
        )

        def sign(version: str | None) -> str:
            chosen = {"VersionId": version} if version and not names_version else {}
            try:
                return str(system.sign(plain, expiration=_SIGNED_FOR, **chosen))
            except Exception as error:
                raise SourceError(f"no request can be signed: {_plain(error)}", uri=name) from error

        return sign

    try:
        address = SignedAddress(name, signer)
    except Exception as error:
        raise SourceError(f"S3 cannot be used: {_plain(error)}", uri=name) from error
    address.url()  # now, rather than in the middle of something
    return HttpReach(address, **_common(access))


def _common(access: Access) -> dict[str, Any]:
    return {
        "patience": access.patience,
        "cross_origin": dict(access.options).get("cross_origin", "") in {"true", "1", "yes"},
        "whole": (access.max_bytes or 1 << 63) if access.allow_full_read else 0,
    }


def _options(access: Access) -> dict[str, Any]:
    return {name: value for name, value in access.options if name != "cross_origin"}


def _plain(error: BaseException) -> str:
    return redact(" ".join(str(error).split())) or type(error).__name__


class FsspecReach(Reach):
    """An object of any other file system that fsspec knows.

    Its answers show neither range nor version: their length is checked, and what the file system says
    about the object (size, time, ETag) is compared after each range.
    """

    def __init__(self, url: str, access: Access) -> None:
        self.name = redact_url(url)
        self._patience = access.patience
        self._closed = threading.Event()
        self._lock = threading.Lock()
        try:
            import fsspec

            self._system, self._path = fsspec.core.url_to_fs(url.partition("#")[0], **_options(access))
        except Exception as error:  # some file systems connect here, and each has errors of its own
            raise SourceError(f"cannot be reached: {_plain(error)}", uri=self.name) from error
        self._known: Any = None

    def contact(self, size: int) -> Contact:
        """Return the size; this file system is not asked for bytes yet."""
        self._known = self._tried(self._status)
        found = self._known[0]
        if not isinstance(found, int):
            raise SourceError("this place does not say how long the object is", uri=self.name)
        return Contact(found, found, b"", " ".join(str(one) for one in self._known[1:] if one is not None))

    def contact_again(self, size: int) -> Contact | None:
        """Return what the file system says now, if it says anything new."""
        return None if self._tried(self._status) == self._known else self.contact(size)

    def fill(self, offset: int, room: memoryview) -> None:
        """Read exactly these bytes."""
        size = len(room)

        def attempt() -> bytes:
            with self._lock:
                self.requests += 1
            data: bytes = bytes(self._system.cat_file(self._path, start=offset, end=offset + size))
            if len(data) != size:
                if self._status() != self._known:
                    raise self._changed()
                raise Passing(f"{len(data)} bytes came where {size} were asked for")
            with self._lock:
                self.received += size
            return data

        data: bytes = self._tried(attempt)
        if self._tried(self._status) != self._known:
            raise self._changed()
        room[:] = data

    def _changed(self) -> ObjectChanged:
        return ObjectChanged("the object changed while it was read", uri=self.name)

    def close(self) -> None:
        """Let go of it."""
        self._closed.set()

    def _status(self) -> tuple[Any, ...]:
        with self._lock:
            self.requests += 1
        self._system.invalidate_cache()
        found = self._system.info(self._path)
        return tuple(found.get(key) for key in ("size", "ETag", "etag", "mtime", "LastModified", "updated"))

    def _tried(self, attempt: Callable[[], Any]) -> Any:
        attempts = Attempts(self.name, self._patience, self._closed)
        while True:
            try:
                return attempt()
            except SourceError:
                raise
            except FileNotFoundError as error:
                raise MissingObject("there is no such object", uri=self.name) from error
            except (PermissionError, IsADirectoryError) as error:
                raise SourceError(_plain(error) if str(error) else "cannot be read", uri=self.name) from error
            except Passing as failure:
                attempts.wait_for_next(failure)
            except Exception as error:  # noqa: BLE001  # every file system has errors of its own
                attempts.wait_for_next(Passing(_plain(error)))


_through_fsspec = FsspecReach

_REACHES: dict[str, Callable[[str, Access], Reach]] = {"http": _http, "https": _http, "s3": _s3, "s3a": _s3}
"""Scheme to its way; all others go through fsspec."""
