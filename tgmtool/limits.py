"""The limits for untrusted input: one named number each, one option and one variable each.

It is separate because every layer that allocates asks here, and the command line makes an
option `--max-NAME` and an environment variable `TGMTOOL_MAX_NAME` from every field.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from .errors import LimitExceeded


class Limits(NamedTuple):
    """What a file may cost before it is refused.

    Attributes:
        cbor_bytes: Body of one CBOR frame or descriptor, in bytes.
        cbor_depth: Nesting of maps and arrays in it.
        cbor_items: Values in it.
        ndim: Dimensions of an object.
        objects: Objects in a message.
        decoded_bytes: One object, decoded, in bytes. At most half of the memory that is
            available counts whatever is set here.
        retained_bytes: Bytes of a pipe that are kept to find the next message after damage.
        senders: Producers of one stream, by run, channel and name: each has a number that is remembered.
    """

    cbor_bytes: int = 64 << 20
    cbor_depth: int = 128
    cbor_items: int = 500_000
    ndim: int = 64
    objects: int = 1_000_000
    decoded_bytes: int = 4 << 30
    retained_bytes: int = 64 << 20
    senders: int = 100_000

    def check(self, limit: str, value: int, what: str, *, offset: int | None = None) -> None:
        """Raise LimitExceeded if `value` is above the limit named `limit`.

        Args:
            limit: Name of a field.
            value: What the input asks for.
            what: Begins the message, which goes on "… , the limit is …".
            offset: Where the claim stands (bytes from the start of the source).
        """
        allowed: int = getattr(self, limit)
        if value > allowed:
            raise LimitExceeded(what, limit=limit, value=allowed, offset=offset)


DEFAULT_LIMITS = Limits()
_HALF = 2


def available_memory() -> int | None:
    """Return the bytes of memory that this process may still use, or None where nobody says.

    The smallest of RLIMIT_AS, the cgroup's limit (v2, v1) and MemAvailable.
    """
    found = []
    try:
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft != resource.RLIM_INFINITY:
            with open("/proc/self/statm", "rb") as statm:
                used = int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
            found.append(max(soft - used, 0))
    except (ImportError, OSError, ValueError):
        pass  # no such limit on this system
    for limit, used_name in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            with open(limit, "rb") as top, open(used_name, "rb") as now:
                found.append(max(int(top.read()) - int(now.read()), 0))
        except (OSError, ValueError):
            continue  # another cgroup version, or "max"
    try:
        with open("/proc/meminfo", "rb") as meminfo:
            lines = (line.split() for line in meminfo)
            found += [int(line[1]) * 1024 for line in lines if line[0] == b"MemAvailable:"]
    except (OSError, ValueError):
        pass  # not Linux
    return min(found) if found else None


def check_decoded_size(size: int, limits: Limits, what: str, *, offset: int | None = None) -> None:
    """Raise LimitExceeded if an object of `size` bytes should not be decoded here.

    Small objects are not measured against the machine: reading that costs more than they do.
    """
    limits.check("decoded_bytes", size, f"{what} takes {size} bytes decoded", offset=offset)
    if size < 256 << 20:
        return
    available = available_memory()
    if available is not None and size > available // _HALF:
        raise LimitExceeded(
            f"{what} takes {size} bytes decoded, and {available} bytes of memory are available",
            limit="decoded_bytes",
            value=available // _HALF,
            offset=offset,
        )
