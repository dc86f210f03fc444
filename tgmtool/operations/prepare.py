"""From an array and its metadata to the parts of a tensor frame.

It is separate from writing because everything that can be refused is refused here, before the
first byte of the object is written. What is the same for all arrays of one shape is made once.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from ..codecs.base import Bytes, Job
from ..codecs.dtypes import BY_NAME, DType, from_numpy
from ..codecs.masks import NAN, NEGATIVE, POSITIVE, Rules, take_out
from ..codecs.masks import write as write_masks
from ..codecs.nonfinite import all_finite
from ..codecs.pipeline import Pipeline
from ..errors import EncodeError, LimitExceeded, MetadataError, PayloadError
from ..messages import cbor
from ..messages.descriptor import TENSOR_TYPE, Descriptor, c_strides
from ..messages.metadata import checked_entry, pack_tensor
from ..messages.objects import DataObject
from ..messages.spans import ObjectSpan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

_TEMPLATES = 256  # shapes that are remembered
_SAID = {NAN: "NaN", POSITIVE: "Inf", NEGATIVE: "-Inf"}


class Bound(NamedTuple):
    """A largest error of decoded values.

    Attributes:
        value: The error, or its share of the range of the values.
        relative: It is a share of (largest - smallest value) of each object.
    """

    value: float
    relative: bool = False

    def of(self, values: NDArray[np.generic]) -> float:
        """Return the absolute error allowed for `values`.

        Raises:
            EncodeError: Their range is beyond float64, so that no share of it is known.
        """
        if not self.relative or not values.size:
            return self.value
        width = float(values.max()) - float(values.min())
        if not math.isfinite(width):
            raise EncodeError("the range of the values is beyond float64; give the error bound as a number")
        return self.value * width


class Stages(NamedTuple):
    """What shall be done to every payload.

    Attributes:
        encoding: Values to bytes.
        filter: Bytes rearranged.
        compression: Bytes made fewer.
        params: Parameters of the stages, by their descriptor keys (`zstd_level`, …).
        jobs: Threads that a stage may use.
        masks: What becomes of NaN and ±Inf.
        bound: The largest error that a lossy stage may make; it chooses its parameters by it.
    """

    encoding: str = "none"
    filter: str = "none"
    compression: str = "none"
    params: Mapping[str, Any] = {}
    jobs: int = 1
    masks: Rules = Rules()
    bound: Bound | None = None


class Template(NamedTuple):
    """What all objects of one dtype and shape have in common.

    Attributes:
        descriptor: As it will stand in the frame.
        packed: The descriptor as CBOR.
        tensor: The library-managed part of the object's metadata, as CBOR.
        job: What the stages are told.
    """

    descriptor: Descriptor
    packed: bytes
    tensor: bytes
    job: Job


class Prepared(NamedTuple):
    """One object, ready to be framed.

    Attributes:
        template: What it has in common with others.
        payload: The encoded payload. A view of the caller's array where no stage does anything.
        entry: The caller's metadata for the object.
    """

    template: Template
    payload: memoryview
    entry: dict[str, Any]


class Preparer:
    """Makes the parts of tensor frames.

    Args:
        stages: What to do to every payload.
    """

    def __init__(self, stages: Stages) -> None:
        stages.masks.check()
        self._stages = stages
        self._templates: dict[tuple[Any, ...], Template] = {}

    def prepare(
        self,
        values: ArrayLike,
        entry: Mapping[str, Any] | None = None,
        *,
        dtype: str | None = None,
        shape: tuple[int, ...] | None = None,
    ) -> Prepared:
        """Return the parts of the tensor frame for `values`.

        Args:
            values: An array, or what `np.asarray` takes; any byte order, any strides (written in C order).
            entry: The object's metadata.
            dtype: Name of the format's dtype, where NumPy's does not say it: "bfloat16" for uint16
                bits, "bitmask" for packed uint8.
            shape: Elements along each axis, for a bitmask.

        Raises:
            EncodeError: A dtype that the format does not have, NaN or Inf, masked values, a shape that
                does not fit, a stage that refuses its parameters, metadata that sets `_reserved_`.
            CodecUnavailable: A stage that cannot be run here.
        """
        import numpy as np

        if type(values) is not np.ndarray and np.ma.is_masked(values):
            values = _filled(values)
        array = np.asarray(values)
        stages = self._stages
        flat = np.ascontiguousarray(array).reshape(-1)
        shape = array.shape if shape is None else tuple(map(int, shape))
        template = None
        if stages.bound is None:
            template = self._template(array, dtype, shape, stages.params)
            kind = template.descriptor.dtype
        else:
            kind, byte_order = _kind(array, dtype)
        missing = None
        if kind.is_float and not all_finite(flat, kind):
            flat, missing = take_out(flat, kind)
            self._check_masks(missing, array)
        if template is None:
            params = self._bounded(flat, missing or {}, kind, byte_order)
            template = self._template(array, dtype, shape, params)
        data = flat.view(np.uint8).data if flat.size else memoryview(b"")
        before = template.descriptor
        pipeline = before.pipeline
        if not pipeline.is_plain:
            encoded, pipeline = pipeline.encode(data, template.job)
            data = memoryview(encoded).cast("B")
        masks = None
        if missing:
            blobs, masks = write_masks(missing, before.elements, len(data), stages.masks)
            data = memoryview(b"".join([data, *blobs]))
        if masks or pipeline is not before.pipeline:
            descriptor = before._replace(pipeline=pipeline, masks=masks)
            template = template._replace(descriptor=descriptor, packed=descriptor.pack())
        return Prepared(template, data, checked_entry(entry) if entry else {})

    def prepare_encoded(
        self, descriptor: Mapping[str, Any], payload: Bytes, entry: Mapping[str, Any] | None = None
    ) -> Prepared:
        """Return the parts of the tensor frame for a payload that is encoded already.

        Args:
            descriptor: The descriptor as a map: `dtype` and `shape`, and what the payload was made with
                (`encoding`, `filter`, `compression` and their parameters, `masks`). What is absent is
                filled in: C strides, no stages, native byte order.
            payload: The encoded payload with its masks.
            entry: The object's metadata.

        The payload is decoded once, so that nothing is written that cannot be read again.

        Raises:
            EncodeError: A descriptor that does not hold together, or a payload that it does not describe.
            CodecUnavailable: A stage that cannot be run here.
        """
        parsed = _parsed(descriptor)
        data = memoryview(payload).cast("B")
        try:
            DataObject(parsed, {}, ObjectSpan(0, 0, 0, 0, 0, 0, len(data), None), data).array  # noqa: B018  # decodes
        except (PayloadError, LimitExceeded) as error:
            raise EncodeError(f"the payload is not what its descriptor says: {error}") from None
        job = Job(parsed.dtype, parsed.elements, parsed.pipeline.params, self._stages.jobs, parsed.byte_order)
        template = Template(parsed, parsed.pack(), pack_tensor(parsed), job)
        return Prepared(template, data, checked_entry(entry) if entry else {})

    def _check_masks(
        self,
        missing: Mapping[str, NDArray[np.intp]],
        array: NDArray[np.generic],
    ) -> None:
        """Refuse what the rules do not allow to be masked, naming the first such value."""
        import numpy as np

        rules = self._stages.masks
        refused = [
            (int(where[0]), name)
            for name, where in missing.items()
            if not (rules.allow_nan if name == NAN else rules.allow_inf)
        ]
        if refused:
            at, name = min(refused)
            where = [int(i) for i in np.unravel_index(at, array.shape)] if array.ndim else []
            option = "--allow-nan" if name == NAN else "--allow-inf"
            raise EncodeError(
                f"the value at index {where} is {_SAID[name]}; {option} (allow_{option[8:]}=True) writes "
                "such values as a mask beside the payload"
            )

    def _bounded(
        self,
        flat: NDArray[np.generic],
        missing: Mapping[str, NDArray[np.intp]],
        kind: DType,
        byte_order: str,
    ) -> Mapping[str, Any]:
        """Return the parameters with which the lossy stage keeps the bound."""
        import numpy as np

        stages = self._stages
        assert stages.bound is not None
        if kind.name != "float64":
            raise EncodeError(f"an error bound is for float64 values, found {kind.name}; --convert float64")
        pipeline = Pipeline(stages.encoding, stages.filter, stages.compression)
        job = Job(kind, len(flat), stages.params, stages.jobs, byte_order)
        data = flat.view(np.uint8).data if flat.size else memoryview(b"")
        there = np.delete(flat, np.concatenate(list(missing.values()))) if missing else flat
        return {**stages.params, **pipeline.bounded(data, stages.bound.of(there), job)}

    def _template(
        self,
        array: NDArray[np.generic],
        dtype: str | None,
        shape: tuple[int, ...],
        params: Mapping[str, Any],
    ) -> Template:
        if params is not self._stages.params:
            return self._make_template(array, dtype, shape, params)
        key = (array.dtype, array.nbytes, shape, dtype)
        found = self._templates.get(key)
        if found is None:
            if len(self._templates) >= _TEMPLATES:
                self._templates.clear()
            found = self._templates[key] = self._make_template(array, dtype, shape, params)
        return found

    def _make_template(
        self,
        array: NDArray[np.generic],
        dtype: str | None,
        shape: tuple[int, ...],
        params: Mapping[str, Any],
    ) -> Template:
        kind, byte_order = _kind(array, dtype)
        _check_size(array, kind, shape)
        stages = self._stages
        job = Job(kind, prod(shape), params, stages.jobs, byte_order)
        pipeline = Pipeline(stages.encoding, stages.filter, stages.compression).resolved(job)
        descriptor = Descriptor(shape, kind, byte_order, c_strides(shape), pipeline)
        job = job._replace(params=pipeline.params)
        return Template(descriptor, descriptor.pack(), pack_tensor(descriptor), job)


def _kind(array: NDArray[np.generic], dtype: str | None) -> tuple[DType, str]:
    found, byte_order = from_numpy(array.dtype)
    if dtype is None or dtype == found.name:
        return found, byte_order
    wanted = BY_NAME.get(dtype)
    if wanted is None:
        raise EncodeError(f"dtype {dtype!r} does not exist, expected one of {', '.join(BY_NAME)}")
    if wanted.numpy != found.numpy:
        raise EncodeError(f"dtype {dtype} is given as {wanted.numpy} values, found {array.dtype}")
    return wanted, byte_order


def _check_size(array: NDArray[np.generic], kind: DType, shape: tuple[int, ...]) -> None:
    if any(n < 0 for n in shape):
        raise EncodeError(f"shape {list(shape)} has a negative length")
    size = kind.payload_size(prod(shape))
    if array.nbytes != size:
        raise EncodeError(
            f"{kind.name} of shape {list(shape)} takes {size} bytes, the values have {array.nbytes}"
        )


def converted(values: NDArray[Any], dtype: str | None, wanted: str) -> NDArray[Any]:
    """Return values as another dtype of the format.

    Args:
        values: An array.
        dtype: Name of the format's dtype, where NumPy's does not say it.
        wanted: Name of the dtype to convert to.

    Raises:
        EncodeError: Not without losing more than precision: of floats to integers, of a bitmask.
    """
    import numpy as np

    if dtype == wanted:
        return values
    if dtype == "bitmask" or wanted == "bitmask":
        raise EncodeError("--convert: a bitmask is neither converted nor made")
    if dtype == "bfloat16":
        values = (values.view(np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)
    if wanted == "bfloat16":
        raise EncodeError("--convert bfloat16 is not supported; convert in the program that makes the values")
    target = np.dtype(BY_NAME[wanted].numpy)
    if not np.can_cast(values.dtype, target, "same_kind"):
        raise EncodeError(f"--convert {wanted}: {values.dtype} cannot become that without losing its values")
    return values.astype(target)


def _filled(values: Any) -> Any:
    """Return a masked array with NaN where it is masked: these become a mask beside the payload."""
    import numpy as np

    if values.dtype.kind not in "fc":
        raise EncodeError(
            f"the array has masked values, and {values.dtype} has no NaN to stand for them; "
            "fill them (.filled(...)) or convert the array to float64"
        )
    return values.filled(np.nan)


def _parsed(given: Mapping[str, Any]) -> Descriptor:
    """Return the descriptor that a caller gave as a map, with what is absent filled in."""
    shape = given.get("shape")
    lengths = tuple(shape) if isinstance(shape, list | tuple) else ()
    whole = {
        "type": TENSOR_TYPE,
        "ndim": len(lengths),
        "strides": list(c_strides(lengths)) if all(type(n) is int for n in lengths) else [],
        "byte_order": sys.byteorder,
        "encoding": "none",
        "filter": "none",
        "compression": "none",
        **given,
    }
    try:
        return Descriptor.parse(cbor.encode(whole), offset=0)
    except (MetadataError, LimitExceeded) as error:
        raise EncodeError(f"the given descriptor does not hold together: {error}") from None
