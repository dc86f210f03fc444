"""The options by which remote places are reached, the same for every command that reads.

It is separate so that they are described once, and so that what they mean is a value that any
command can hand on.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ..endpoints.access import Access, Patience
from .exits import UsageError


def _option(metavar: str | None, text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, metavar=metavar, help=text, **more)


OPTIONS: tuple[tuple[str, Any, Any], ...] = (
    (
        "concurrency",
        Annotated[
            int,
            _option(
                "N",
                "Ranges of a URL on their way at once.",
                "--concurrency",
                min=1,
                max=64,
                envvar="TGMTOOL_CONCURRENCY",
            ),
        ],
        Access().concurrency,
    ),
    (
        "retries",
        Annotated[
            int,
            _option(
                "N",
                "Further attempts without any progress, for a URL.",
                "--retries",
                min=0,
                envvar="TGMTOOL_RETRIES",
            ),
        ],
        Patience().retries,
    ),
    (
        "timeout",
        Annotated[
            str,
            _option(
                "DUR",
                "Wait so long for data of a URL, then try again.",
                "--timeout",
                envvar="TGMTOOL_TIMEOUT",
            ),
        ],
        f"{Patience().stall:g}s",
    ),
    (
        "storage_option",
        Annotated[
            list[str] | None,
            _option("K=V", "For the file system of fsspec; may be repeated.", "--storage-option"),
        ],
        None,
    ),
    (
        "profile",
        Annotated[str | None, _option("NAME", "Profile of the AWS configuration.", "--profile")],
        None,
    ),
    ("region", Annotated[str | None, _option("NAME", "Region of the bucket.", "--region")], None),
    (
        "endpoint_url",
        Annotated[str | None, _option("URL", "A service that speaks S3.", "--endpoint-url")],
        None,
    ),
    ("anon", Annotated[bool, _option(None, "S3 without credentials.", "--anon")], False),
)
"""(name of the parameter, annotation, default) of each."""


def access_of(given: dict[str, Any]) -> Access:
    """Return what the options say; one that a command gives another meaning keeps its default.

    Raises:
        UsageError: They make no sense.
    """
    pairs = [one.partition("=") for one in given["storage_option"] or []]
    for name, equals, _ in pairs:
        if not equals or not name:
            raise UsageError(f"--storage-option {name!r}: expected K=V")
    patience = Patience(retries=given["retries"])
    if "timeout" in given:
        from .options import duration

        patience = patience._replace(stall=duration(given["timeout"]))
        if patience.stall <= 0:
            raise UsageError("--timeout must be longer than nothing")
    return Access(
        given["profile"],
        given["region"],
        given["endpoint_url"],
        given["anon"],
        options=tuple((name, value) for name, _, value in pairs),
        concurrency=given["concurrency"],
        patience=patience,
    )
