"""Take secrets out of text: one function for everything that is shown.

It is separate because what must never be printed has to be known in one place: user info, query
values and credentials, wherever in a text a URL or a header stands.
"""

from __future__ import annotations

import re
from urllib.parse import quote

HIDDEN = "***"

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*:/{2,3})"
    r"(?P<user>[^\s/?#\"'<>]*@)?"
    r"(?P<place>[^\s?#\"'<>]*)"
    r"(?P<query>\?[^\s#\"'<>]*)?"
    r"(?P<fragment>\#[^\s\"'<>]*)?"
)
_DELIMITERS = re.compile(r"[\s\"'<>]")
_SERVER = re.compile(r"(?:\[.*\]|[^:]*)(?::[0-9]*)?:?")  # with the colon that a message puts behind it
_OBJECT = re.compile(r"#(?:[mo]=-?\d+&?)+")  # our own fragments name a message and an object
_NAMED = re.compile(
    r"(?i)\b(authorization|proxy-authorization|cookie|x-amz-security-token|x-amz-signature|signature|"
    r"[a-z_\-]*(?:token|secret|password|passwd|credential|api[_-]?key)[a-z_\-]*)"
    r"(\s*[:=]\s*|%3D)(?:(?:basic|bearer|negotiate)\s+)?[^\s&,;\"'<>]+"
)


def redact(text: str) -> str:
    """Return `text` without the secrets that URLs and headers in it carry.

    User info, the values of a query and unknown fragments become `***`, and so does what follows the
    name of a credential.
    """
    return _NAMED.sub(rf"\1\2{HIDDEN}", _URL.sub(_hide, text))


def redact_url(url: str) -> str:
    """As `redact`, for what is a URL and nothing else: blanks and quotes do not end it."""
    return redact(_DELIMITERS.sub(lambda found: quote(found[0], safe=""), url))


def _hide(found: re.Match[str]) -> str:
    scheme, user, place, query, fragment = found.group("scheme", "user", "place", "query", "fragment")
    if not user and "@" in found[0] and not _SERVER.fullmatch(place.partition("/")[0]):
        place = HIDDEN  # user info that holds a slash, "?" or "#": where it ends, nobody knows
    shown = scheme + (f"{HIDDEN}@" if user else "") + place
    if query:
        names = [part.partition("=") for part in query[1:].split("&")]
        # A query without "=" is one value, and may be a token.
        shown += "?" + "&".join(f"{name}={HIDDEN}" if equals else HIDDEN for name, equals, _ in names)
    if fragment:
        shown += fragment if _OBJECT.fullmatch(fragment) else f"#{HIDDEN}"
    return shown
