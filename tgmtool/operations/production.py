"""What to make of inputs: the plan of `encode` as one value.

It is separate from carrying it out because a plan is made in one place and read in several.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from ..limits import DEFAULT_LIMITS, Limits
from .credit import Handover
from .inputs import Block
from .numbering import Stream
from .prepare import Stages
from .writer import Style


class Production(NamedTuple):
    """What to make of the inputs.

    Attributes:
        kind: Input format; "auto" looks at suffix and first bytes.
        block: dtype and shape of raw blocks.
        variables: Only these, of inputs that hold several by name.
        encoded: Payloads come encoded: of GRIB those that can be taken as they are, or all inputs if
            there are `descriptors`.
        descriptors: What the encoded inputs are, in order; a single one goes to all.
        convert: Name of the format's dtype to convert values to first; None leaves them.
        split_axis: Every slice along this axis is an object of its own.
        group: Objects per message: a number, "all", "file" (one message per input), or None: 1 on
            a stream, "file" for files.
        entry: Metadata of object number i (from 0), over what came with it.
        metas: Metadata of the objects, in order; a single map goes to all.
        extra: Message-level metadata.
        stages: What to do to every payload.
        style: How messages are laid out; `layout` "auto" is buffered for single objects and for
            files that appear whole, else streaming.
        pace: Seconds to wait between objects.
        limits: What an input may cost.
        stream: Number the messages, and say when they end; None: only if a file is continued whose last
            message is numbered, or files are rotated.
        handover: How far to run ahead of the consumer; needs a `stream`.
    """

    kind: str = "auto"
    block: Block | None = None
    variables: tuple[str, ...] | None = None
    encoded: bool = False
    descriptors: Iterable[Mapping[str, Any]] | None = None
    convert: str | None = None
    split_axis: int | None = None
    group: int | str | None = None
    entry: Callable[[int], Mapping[str, Any]] = lambda _i: {}
    metas: Iterable[Mapping[str, Any]] | None = None
    extra: Mapping[str, Any] = {}
    stages: Stages = Stages()
    style: Style = Style(layout="auto")
    pace: float = 0.0
    limits: Limits = DEFAULT_LIMITS
    stream: Stream | None = None
    handover: Handover | None = None
