"""From inputs to objects that are ready to be framed, in order, one at a time.

It is separate from `encode` because it knows inputs and stages and nothing of messages; where the
objects go, and what happens when that fails, is no business of its.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from ..endpoints import STDIO, local_path, open_source
from ..endpoints.stdio import StreamSource
from ..errors import EncodeError
from ..limits import Limits
from .inputs import Item, items
from .interruption import Interruption
from .prepare import Prepared, Preparer, converted
from .production import Production

_CHUNK = 1 << 20


class Supply:
    """Takes the objects of a plan out of its inputs.

    Args:
        plan: What to make of them.
        interruption: Lets a signal break off waiting for an input.
        report: Is told what was left out of an input.
    """

    def __init__(self, plan: Production, interruption: Interruption, report: Callable[[str], None]) -> None:
        self._plan = plan
        self._interruption = interruption
        self._report = report
        self._preparer = Preparer(plan.stages)
        self._taken = 0  # objects taken in, over all inputs
        self._descriptors = iter(plan.descriptors) if plan.descriptors is not None else None
        self._descriptor: Mapping[str, Any] = {}
        self._descriptor_count = 0
        self._metas = iter(plan.metas) if plan.metas is not None else None
        self._meta: Mapping[str, Any] = {}
        self._meta_count = 0

    def objects_of(self, place: Any) -> Generator[Prepared]:
        """Yield the objects of one input; what came before a failure comes before it.

        Raises:
            EncodeError: Something that cannot be written.
            SourceError: The input failed.
        """
        # What arrives live is written as it comes; holding some to work on them together would delay it.
        jobs = 1 if is_stream(place) or self._plan.pace else self._plan.stages.jobs
        return self._prepared(self._paced(self._items(place)), jobs)

    def _items(self, place: Any) -> Iterator[Item]:
        plan = self._plan
        if plan.descriptors is not None:
            yield _encoded_item(place, self._next_descriptor(), plan.limits)
            return
        yield from items(
            place,
            plan.kind,
            block=plan.block,
            variables=plan.variables,
            split_axis=plan.split_axis,
            passthrough=plan.encoded,
            limits=plan.limits,
            report=self._report,
        )

    def _paced(self, source: Iterator[Item]) -> Iterator[Item]:
        while (item := self._interruption.next_of(source)) is not None:
            if self._plan.pace and self._taken:
                self._interruption.pause(self._plan.pace)
            yield item

    def _prepared(self, source: Iterator[Item], jobs: int) -> Generator[Prepared]:
        """Yield the items ready to be framed, in order; `jobs` of them are worked on at once."""
        if jobs == 1:
            for item in source:
                yield self._prepare(item, self._entry_of(item))
            return
        waiting: deque[Future[Prepared]] = deque()  # at most one more than there are threads
        with ThreadPoolExecutor(jobs) as pool:
            failed: Exception | None = None
            try:
                while failed is None:
                    try:
                        item = next(source)
                        waiting.append(pool.submit(self._prepare, item, self._entry_of(item)))
                    except StopIteration:
                        break
                    except Exception as error:  # noqa: BLE001  # raised below, after what came before it
                        failed = error
                    if len(waiting) > jobs:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
                if failed is not None:
                    raise failed
            finally:
                for one in waiting:
                    one.cancel()

    def _prepare(self, item: Item, entry: Mapping[str, Any]) -> Prepared:
        if item.payload is not None and item.descriptor is not None:
            return self._preparer.prepare_encoded(item.descriptor, item.payload, entry)
        values = item.values
        if self._plan.convert is not None:
            values = converted(values, item.dtype, self._plan.convert)
            item = item._replace(dtype=self._plan.convert)
        return self._preparer.prepare(values, entry, dtype=item.dtype, shape=item.shape)

    def _entry_of(self, item: Item) -> Mapping[str, Any]:
        entry = _over(_over(item.entry, self._next_meta()), self._plan.entry(self._taken))
        self._taken += 1
        return entry

    def _next_descriptor(self) -> Mapping[str, Any]:
        assert self._descriptors is not None
        found = next(self._descriptors, None)
        if found is not None:
            self._descriptor_count += 1
            self._descriptor = found
        elif self._descriptor_count != 1:  # a single descriptor goes to all
            raise EncodeError(
                f"{self._descriptor_count} descriptors were given, input {self._taken} has none"
            )
        return self._descriptor

    def _next_meta(self) -> Mapping[str, Any]:
        if self._metas is None:
            return {}
        found = next(self._metas, None)
        if found is not None:
            self._meta_count += 1
            self._meta = found
        elif self._meta_count != 1:  # a single map goes to all
            raise EncodeError(
                f"metadata for {self._meta_count} objects was given, object {self._taken} has none"
            )
        return self._meta


def _over(under: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Return both maps in one; where both have a value, that of `upper`. Maps in them likewise."""
    found = dict(under)
    for key, value in upper.items():
        below = found.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            value = _over(below, value)  # noqa: PLW2901  # what stands there in the end
        found[key] = value
    return found


def is_stream(place: Any) -> bool:
    """Return whether an input comes live: its objects are wanted as they come."""
    if isinstance(place, str | os.PathLike):
        path = local_path(place)
        return place == STDIO or not (os.path.isfile(path) or os.path.isdir(path))
    return isinstance(place, StreamSource)


def comes_in_time(place: Any) -> bool:
    """Return whether an input comes while somebody makes it: a pipe, not a file that is stdin."""
    if place == STDIO:
        with suppress(OSError):
            return not stat.S_ISREG(os.fstat(0).st_mode)
    return is_stream(place)


def _encoded_item(place: Any, descriptor: Mapping[str, Any], limits: Limits) -> Item:
    """Return one input as a payload that is encoded already."""
    import numpy as np

    source = open_source(place)
    try:
        payload = bytearray()
        while len(chunk := source.read_at(len(payload), _CHUNK)):
            payload += chunk
            limits.check("decoded_bytes", len(payload), f"{source.name}: an encoded payload")
            source.keep_from(len(payload))
    finally:
        if source is not place:
            source.close()
    return Item(np.empty(0), payload=bytes(payload), descriptor=descriptor)
