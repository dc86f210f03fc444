"""`@verify`: every frame's digest, and everything that metadata, index and hash lists claim.

It is separate from `validate`, which reports all that it finds about files: here the first fault of a
message is reason enough not to pass it on.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...errors import FormatError
from ..drive import named
from ..read import read
from ..transforms.base import Needs, Unit


class Verify:
    """Lets messages pass that are whole and sound."""

    name = "@verify"
    needs: Needs = "message"

    def message(self, unit: Unit) -> Iterable[Unit]:
        """Yield the message.

        Raises:
            FormatError: What is wrong with it, counted from its own start.
        """
        try:
            for _ in read(unit.data, limits=unit.limits):
                pass
        except FormatError as error:
            error.source = None
            raise named(error, "in it") from None
        return (unit,)

    def finish(self, *, failed: bool) -> Iterable[Unit]:
        """Nothing is left."""
        return ()
