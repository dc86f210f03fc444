"""The list of digests: one spelling, and no error where it cannot be compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tgmtool
from tgmtool import LimitExceeded, Limits, MetadataError, Style
from tgmtool.messages import cbor
from tgmtool.messages.hashes import Hashes

AT = 300


def test_a_digest_is_sixteen_hex_digits_in_lower_case() -> None:
    found = Hashes.of([0, 0xABC, (1 << 64) - 1])
    assert found == Hashes("xxh3", ("0" * 16, "0000000000000abc", "f" * 16))
    assert found.pack() == cbor.encode({"algorithm": "xxh3", "hashes": list(found.hashes)})
    assert Hashes.parse(found.pack(), offset=AT) == found


@pytest.mark.parametrize("layout", ["buffered", "streaming"])
def test_the_list_names_the_digests_of_the_objects_in_order(layout: str) -> None:
    objects = [np.arange(n) for n in (0, 3, 300)]
    found = tgmtool.decode(tgmtool.encode(objects, style=Style(layout=layout)))
    assert found.hash_frame == Hashes.of([one.span.digest or 0 for one in found.objects])
    assert len(set(found.hash_frame.hashes)) == 3


@pytest.mark.parametrize("layout", ["buffered", "streaming"])
def test_there_is_no_list_without_objects_or_without_hashing(layout: str) -> None:
    for objects, hashing in (([], True), ([], False), ([np.ones(3)], False)):
        style = Style(layout=layout, hashing=hashing)
        assert tgmtool.decode(tgmtool.encode(objects, style=style)).hash_frame is None


def test_another_algorithm_is_kept_and_is_no_error() -> None:
    body = cbor.encode({"algorithm": "sha3", "hashes": ["00", "not hex"], "other": 1})
    assert Hashes.parse(body, offset=AT) == Hashes("sha3", ("00", "not hex"))


def test_a_list_without_hashes_is_empty() -> None:
    assert Hashes.parse(cbor.encode({"algorithm": "xxh3"}), offset=AT) == Hashes("xxh3", ())


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"hashes": []},
        {"algorithm": None, "hashes": []},
        {"algorithm": 3, "hashes": []},
        {"algorithm": "xxh3", "hashes": None},
        {"algorithm": "xxh3", "hashes": "0" * 16},
        {"algorithm": "xxh3", "hashes": [1]},
        {"algorithm": "xxh3", "hashes": [b"0" * 16]},
        {"algorithm": "xxh3", "hashes": {"0": "0" * 16}},
    ],
    ids=repr,
)
def test_what_is_no_list_of_digests_is_refused(value: dict[str, Any]) -> None:
    with pytest.raises(MetadataError) as caught:
        Hashes.parse(cbor.encode(value), offset=AT)
    assert (caught.value.code, caught.value.offset, caught.value.section) == (
        "hash_frame_cbor_parse_failed",
        AT,
        "6.3",
    )


def test_the_limits_on_cbor_hold_for_the_list() -> None:
    body = Hashes.of(list(range(100))).pack()
    with pytest.raises(LimitExceeded):
        Hashes.parse(body, offset=AT, limits=Limits(cbor_items=99))
