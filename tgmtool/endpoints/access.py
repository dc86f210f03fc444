"""How remote places are reached, and how patiently: plain values.

It is separate so that a command line can be understood without loading anything that opens a connection.
"""

from __future__ import annotations

from typing import NamedTuple


class Patience(NamedTuple):
    """How long to wait, and how often to try.

    Attributes:
        connect: Seconds for a connection.
        stall: Seconds without data.
        retries: Further attempts without any progress.
        first_delay: Seconds before the second attempt, at most (jittered); twice as long each time.
        longest_delay: Seconds between two attempts, at most. A server that asks for more gets it.
        total: Seconds for all attempts of a range without any progress.
    """

    connect: float = 10.0
    stall: float = 30.0
    retries: int = 5
    first_delay: float = 0.4
    longest_delay: float = 10.0
    total: float = 120.0


class Access(NamedTuple):
    """How remote places are reached.

    Attributes:
        profile: Of the AWS configuration.
        region: Of the bucket.
        endpoint_url: Of a service that speaks S3.
        anon: Without credentials.
        options: Of fsspec's file system for the scheme; `cross_origin` is ours.
        concurrency: Ranges that are on their way at once.
        max_bytes: Bytes that may be read of one place; None for any number.
        allow_full_read: Take all of it from a server that knows no ranges.
        patience: How long to wait, how often to try.
    """

    profile: str | None = None
    region: str | None = None
    endpoint_url: str | None = None
    anon: bool = False
    options: tuple[tuple[str, str], ...] = ()
    concurrency: int = 8
    max_bytes: int | None = None
    allow_full_read: bool = False
    patience: Patience = Patience()
