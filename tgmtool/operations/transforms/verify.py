"""`@verify`: only messages that are sound pass.

It is separate from `validate`, which says everything about a file: here one message at a time is judged, by
the same checks, and what is wrong with it stops it.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...errors import FormatError, LimitExceeded
from ...wire.decoder import Decoder
from ...wire.events import FrameBegan
from ..checks import described
from ..drive import drive
from ..findings import ERROR, INCOMPLETE, UNCHECKED, WARNING, Finding
from ..inspection import DEPTHS, Depth, Inspection
from ..sweep import sweep
from .base import Needs, PlacedSource, Unit

_REFUSED = frozenset({ERROR, INCOMPLETE, UNCHECKED})


def findings_of(unit: Unit, depth: Depth) -> tuple[Finding, ...]:
    """Return everything that is to be said about a message. Nothing is raised.

    Args:
        unit: The message.
        depth: How closely to look; its limits give way to the unit's.
    """
    data = memoryview(unit.data)
    if not depth.metadata:
        swept = sweep(data, 0, len(data), digests=depth.digests)
        if swept.messages == 1 and swept.stop == len(data):
            return ()

    def read(offset: int, size: int) -> memoryview:
        return data[offset - unit.offset : offset - unit.offset + size]

    inspection = Inspection(read, depth._replace(limits=unit.limits), number=unit.number)
    decoder = Decoder(offset=unit.offset, verify=depth.digests, control_body_limit=unit.limits.cbor_bytes)
    found: list[Finding] = []
    messages = 0
    try:
        for event in drive(PlacedSource(unit), decoder):
            done = inspection.receive(event)
            if done is not None:
                messages += 1
                found += done.findings
            elif type(event) is FrameBegan and event.header.row.is_object and not inspection.wants_payload:
                decoder.skip_frame()
    except (FormatError, LimitExceeded) as error:
        issue = described(error)
        offset = unit.offset if issue.offset is None else issue.offset
        found.append(Finding(issue.code, issue.text, offset, unit.number))
    else:
        if messages != 1:
            text = f"expected one message, found {messages}"
            found.append(Finding("framing", text, unit.offset, unit.number))
    return tuple(found)


class Verify:
    """Lets sound messages pass.

    Args:
        level: Of `validate`: "checksum" (frames hold together, every digest is right), or a cheaper or a
            closer one.
        require_hash: A message in which a frame has no digest does not pass.

    Attributes:
        warnings: Found in messages that passed.

    Raises:
        ValueError: No such level.
    """

    name = "@verify"
    needs: Needs = "message"
    only_looks = True

    def __init__(self, level: str = "checksum", *, require_hash: bool = False) -> None:
        if level not in DEPTHS:
            raise ValueError(f"level must be one of {', '.join(DEPTHS)}, not {level!r}")
        self._depth = DEPTHS[level]
        self._require_hash = require_hash
        self.warnings = 0

    def message(self, unit: Unit) -> Iterable[Unit]:
        """Yield the message if nothing is wrong with it.

        Raises:
            FormatError: Something is, or could not be looked at; says what came first, and how much more.
        """
        found = findings_of(unit, self._depth)
        wrong = [one for one in found if one.weight in _REFUSED]
        if not wrong and self._require_hash:
            without = [frame for frame in unit.looked.frames if frame.stored_digest is None]
            if without:
                name = without[0].header.row.name
                text = f"the {name} frame has no digest"
                wrong.append(Finding("hash_required", text, without[0].offset, unit.number))
        if wrong:
            first = wrong[0]
            more = f"; {len(wrong) - 1} more issues in this message" if len(wrong) > 1 else ""
            place = (
                f"message {unit.number}"
                if first.object_index is None
                else (f"message {unit.number}, object {first.object_index}")
            )
            raise FormatError(
                f"{place}: {first.text}{more}", offset=first.offset, code=first.code, source=unit.name
            )
        self.warnings += sum(one.weight == WARNING for one in found)
        return (unit,)

    def finish(self, *, failed: bool) -> Iterable[Unit]:
        """Nothing is left."""
        return ()
