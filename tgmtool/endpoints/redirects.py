"""Where a server may send us.

It is separate because it is a rule about names, and the rule is what keeps a URL from a stranger
out of our own network.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import SplitResult, urljoin, urlsplit

from ..errors import SourceError
from .secrets import redact

MOST_REDIRECTS = 5
_PORTS = {"http": 80, "https": 443}


def origin_of(parts: SplitResult) -> tuple[str, str, int]:
    """Return scheme, host and port."""
    return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)


def redirected(url: str, location: str, *, cross_origin: bool, name: str) -> str:
    """Return the URL that `location` in an answer to `url` means, if we may go there.

    Args:
        url: What was asked for.
        location: Where the server says it is.
        cross_origin: Another server may be gone to.
        name: The place, for the message.

    Raises:
        SourceError: From https to http, to another server without `cross_origin`, or from a public into
            a private network.
    """
    before = urlsplit(url)
    try:
        target = urljoin(url, location)
        after = urlsplit(target)
        usable = after.port is None or after.port > 0
    except ValueError:
        usable = False
    if not usable:
        raise SourceError("redirected to what is no URL: not followed", uri=name)
    shown = redact(f"{after.scheme}://{after.netloc}")
    if after.scheme not in _PORTS or (before.scheme == "https" and after.scheme != "https"):
        raise SourceError(f"redirected from {before.scheme} to {shown}: not followed", uri=name)
    if origin_of(before) == origin_of(after):
        return target
    if not cross_origin:
        raise SourceError(
            f"redirected to another server, {shown}: --storage-option cross_origin=true follows", uri=name
        )
    if _is_inside(after) and not _is_inside(before):
        raise SourceError(f"redirected into a private network, {shown}: not followed", uri=name)
    return target


def _is_inside(parts: SplitResult) -> bool:
    """Return whether any address of the host is not a public one."""
    host, port = parts.hostname or "", parts.port
    try:
        found = {row[4][0] for row in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return True  # nobody knows: not followed
    return any(not ipaddress.ip_address(str(one).partition("%")[0]).is_global for one in found)
