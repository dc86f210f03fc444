"""Follow a remote object: the same frames as of a file, in versions that come one after the other.

It is separate from `follow` because a file grows under the reader's eyes, and an object is another one
each time: what was read has to be found again in it.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..endpoints.polled import CHANGED, GONE, PolledObject
from ..messages.spans import Notice
from ..wire.layout import FRAME_FOOTER_SIZE
from .follow import Follower


class RemoteFollower(Follower):
    """A follower of a `PolledObject`."""

    def _check_rewound(self) -> Iterator[Notice]:
        """See whether there is another version, and whether what was handed out is in it."""
        source = self.source
        if not isinstance(source, PolledObject):
            return  # one version, which is all there will be
        how = source.refresh()
        if how == GONE:
            if not self._removed:
                self._removed = True
                yield Notice("removed", self.name)
            return
        if self._removed:
            self._removed = False
            yield Notice("appeared", self.name)
        if how == CHANGED:
            yield from self._found_again(source)

    def _found_again(self, source: PolledObject) -> Iterator[Notice]:
        size, anchor = source.size(), self._anchor
        whole = anchor.offset + FRAME_FOOTER_SIZE if anchor else self._message
        if size < whole or (
            anchor and bytes(source.read_at(anchor.offset, FRAME_FOOTER_SIZE)) != anchor.data
        ):
            yield Notice("replaced", self.name)
            self.order.damaged()
            self._restart()
        else:
            self._rewind()
