"""THE table of the stages that are built in: a name, what may stand behind it, and what it makes.

It is separate because a new stage is one function and one line here.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ...errors import EncodeError
from ..quantities import duration, size
from ..transforms.base import Transform
from .flow import Flow, Limit, Pace, Rate
from .specs import Spec

BY, MERGE = "@by", "@merge"  # stages of their own: they have more to do than to take messages


class Settings(NamedTuple):
    """What options of the whole pipeline say about built-in stages.

    Attributes:
        ref_threshold: Payloads of at least so many bytes go to the folder of `@refs`.
        most_names: Files that `@split` and `@refs` may make.
        force: Files that exist may be replaced.
        most_processes: That `@by` may begin.
    """

    ref_threshold: int = 64 << 10
    most_names: int = 10_000
    force: bool = False
    most_processes: int = 64


class _Words(NamedTuple):
    """What stands behind a name: words, and `--flag` or `--flag=value`."""

    words: tuple[str, ...]
    flags: Mapping[str, str]

    def only(self, spec: Spec, least: int, most: int, what: str) -> tuple[str, ...]:
        if not least <= len(self.words) <= most:
            raise EncodeError(f"stage {spec.text!r}: expected {spec.words[0]} {what}")
        return self.words


def make(spec: Spec, settings: Settings) -> Flow | Transform:
    """Return what a built-in stage does.

    Raises:
        EncodeError: There is no such stage, or something else has to stand behind it.
        SourceError: What it writes to cannot be opened.
    """
    row = TABLE.get(spec.words[0])
    if row is None:
        raise EncodeError(
            f"stage {spec.text!r}: there is no {spec.words[0]}, expected one of {', '.join(names())}"
        )
    maker, flags = row
    words = _words(spec, flags)
    try:
        found: Flow | Transform = maker(spec, words, settings)
    except ValueError as error:
        if isinstance(error, EncodeError) and str(error).startswith("stage "):
            raise
        raise EncodeError(f"stage {spec.text!r}: {error}") from error
    return found


def names() -> list[str]:
    """Return the names of all built-in stages."""
    return sorted([*TABLE, BY, MERGE])


def _words(spec: Spec, allowed: Sequence[str]) -> _Words:
    words: list[str] = []
    flags: dict[str, str] = {}
    rest = iter(spec.words[1:])
    for word in rest:
        if word == "--":
            words += rest
        elif word.startswith("--") and len(word) > 2:
            name, _, value = word[2:].partition("=")
            if name not in allowed:
                known = ", ".join(f"--{each}" for each in allowed) or "none"
                raise EncodeError(f"stage {spec.text!r}: there is no --{name}; options of it: {known}")
            flags[name] = value
        else:
            words.append(word)
    return _Words(tuple(words), flags)


def _where(spec: Spec, words: _Words, settings: Settings) -> Transform:
    from ..select import where
    from ..transforms.where import Where

    found = where(words.only(spec, 1, 1000, "EXPR…"))
    if found is None:
        raise EncodeError(f"stage {spec.text!r}: the expression is empty")
    return Where(found, words.flags.get("match", "any"))


def _verify(spec: Spec, words: _Words, settings: Settings) -> Transform:
    from ..transforms.verify import Verify

    words.only(spec, 0, 0, "alone")
    return Verify()


def _tee(spec: Spec, words: _Words, settings: Settings) -> Transform:
    from ..outputs import Output
    from ..transforms.tee import Tee

    (path,) = words.only(spec, 1, 1, "PATH")
    flags = words.flags
    return Tee(
        Output(
            path,
            commit=flags.get("commit"),
            append="append" in flags,
            repair_tail="repair-tail" in flags,
            force=settings.force or "force" in flags,
            fsync=flags.get("fsync", "close"),
        )
    )


def _split(spec: Spec, words: _Words, settings: Settings) -> Transform:
    from ..transforms.split import Split

    (template,) = words.only(spec, 1, 1, "DIR/[mars.param]_[mars.step].tgm")
    return Split(template, force=settings.force or "force" in words.flags, most_names=settings.most_names)


def _recode(spec: Spec, words: _Words, settings: Settings) -> Transform:
    from ..transforms.recode import Recode, target_of

    (text,) = words.only(spec, 1, 1, "COMPRESSION[:LEVEL]")
    return Recode(target_of(text))


def _refs(spec: Spec, words: _Words, settings: Settings) -> Transform:
    from ..transforms.refs import Refs

    (folder,) = words.only(spec, 1, 1, "DIR")
    threshold = size(words.flags["threshold"]) if "threshold" in words.flags else settings.ref_threshold
    fsync = words.flags.get("fsync", "message")
    if fsync not in {"none", "message"}:
        raise EncodeError(f"stage {spec.text!r}: --fsync={fsync} does not exist, expected none or message")
    return Refs(folder, threshold=threshold, most_names=settings.most_names, durable=fsync != "none")


def _resolve(spec: Spec, words: _Words, settings: Settings) -> Transform:
    from ..transforms.resolve import Resolve

    return Resolve(*words.only(spec, 0, 1, "[DIR]"))


def _stamp(spec: Spec, words: _Words, settings: Settings) -> Transform:
    from ...messages.stream import DEFAULT_CHAN, DEFAULT_SENDER, Sender
    from ..transforms.stamp import Stamp

    words.only(spec, 0, 0, "[--id=ID] [--chan=NAME] [--sender=NAME] [--force] [--no-end]")
    flags = words.flags
    who = Sender(
        flags.get("id") or str(uuid.uuid4()),
        flags.get("chan", DEFAULT_CHAN),
        flags.get("sender", DEFAULT_SENDER),
    )
    return Stamp(who, force="force" in flags, end="no-end" not in flags)


def _rate(spec: Spec, words: _Words, settings: Settings) -> Flow:
    (text,) = words.only(spec, 1, 1, "SIZE (bytes in a second)")
    rate = size(text.removesuffix("/s"))
    if not rate:
        raise EncodeError(f"stage {spec.text!r}: at 0 bytes in a second nothing would pass")
    return Rate(rate)


def _pace(spec: Spec, words: _Words, settings: Settings) -> Flow:
    found = words.only(spec, 0, 1, "[DUR]")
    return Pace(duration(found[0]) if found else None)


def _limit(spec: Spec, words: _Words, settings: Settings) -> Flow:
    (text,) = words.only(spec, 1, 1, "N")
    if not text.isdecimal():
        raise EncodeError(f"stage {spec.text!r}: {text!r} is no number of messages")
    return Limit(int(text))


_Maker = Callable[[Spec, _Words, Settings], Any]
TABLE: Mapping[str, tuple[_Maker, tuple[str, ...]]] = {
    "@where": (_where, ("match",)),
    "@verify": (_verify, ()),
    "@tee": (_tee, ("append", "commit", "force", "fsync", "repair-tail")),
    "@split": (_split, ("force",)),
    "@recode": (_recode, ()),
    "@refs": (_refs, ("fsync", "threshold")),
    "@resolve": (_resolve, ()),
    "@stamp": (_stamp, ("id", "chan", "sender", "force", "no-end")),
    "@rate": (_rate, ()),
    "@pace": (_pace, ()),
    "@limit": (_limit, ()),
}
