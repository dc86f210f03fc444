"""What is asked for: a URL that stays, or one that is signed anew.

It is separate because HTTP does not care who signs, and whoever signs sends no request.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

_SIGNED_ANEW = 900  # seconds; signatures hold longer
_REGION = re.compile(r"[a-z]{2,8}(?:-[a-z0-9]{1,16}){1,4}")


def is_region(text: str) -> bool:
    """Return whether a server's word for a region can be one: it becomes a part of a host's name."""
    return _REGION.fullmatch(text) is not None


class Address:
    """A URL that stays as it is.

    Args:
        url: With everything in it that the server has to know.
        name: For messages, without secrets.
    """

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self.name = name

    def url(self, version: str | None = None) -> str:
        """Return the URL to ask now; of a version that the server named, if one can be asked for."""
        return self._url

    def moved(self, region: str) -> bool:
        """Take note that the server says it is elsewhere; return whether asking again makes sense."""
        return False


class SignedAddress(Address):
    """A URL with a signature, made again from time to time, and for another region if the server says so.

    Args:
        name: For messages, without secrets.
        signer: Returns, for a region (None: the one that was configured), what signs a version.
    """

    def __init__(self, name: str, signer: Callable[[str | None], Callable[[str | None], str]]) -> None:
        super().__init__("", name)
        self._signer = signer
        self._sign = signer(None)
        self._lock = threading.Lock()
        self._held: dict[str | None, tuple[float, str]] = {}
        self._region: str | None = None

    def url(self, version: str | None = None) -> str:
        """Return the URL to ask now."""
        with self._lock:
            until, url = self._held.get(version, (0.0, ""))
            if time.monotonic() >= until:
                url = self._sign(version)
                self._held[version] = time.monotonic() + _SIGNED_ANEW, url
            return url

    def moved(self, region: str) -> bool:
        """Sign for this region from now on; once."""
        if not is_region(region):
            return False
        with self._lock:
            if self._region is None:
                self._region = region
                self._sign = self._signer(region)
                self._held.clear()
                return True
            return False
