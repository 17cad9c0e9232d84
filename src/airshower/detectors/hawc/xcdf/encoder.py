"""From columns to the block that holds them: the least value of each, how many bits it needs, the stream of bits."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from airshower.detectors.hawc.xcdf import bits as xcdf_bits
from airshower.detectors.hawc.xcdf.block import MODULUS, Columns, Layout, Ragged, bit_positions, decode
from airshower.detectors.hawc.xcdf.format import BlockHeader, Field, FieldType, Statistics, to_bits

MOST_BITS = 52  # of a float in steps of its resolution; where more are needed, values are stored as they are
ALIGNED = 1e10  # steps from 0 up to which the least float of a block is made a multiple, as by the C++ library


@dataclass(frozen=True)
class Extent:
    """Of a field in one block: bits of its greatest value before rounding, as the C++ library has it, and of its least
    value, how many bits all of its values take."""

    maximum: int
    minimum: int
    size: int


@dataclass(frozen=True, eq=False)
class EncodedBlock:
    """`header`, the bits in `data`, and the extent of each field, None for one without values."""

    header: BlockHeader
    data: bytes
    extents: list[Extent | None]


def encode(layout: Layout, columns: Columns, events: int, like: BlockHeader | None = None) -> EncodedBlock:
    """Columns of all fields, of their types, lengths of vectors as their parents say.

    Values are rounded to the resolution of their field. With the header of a block that they were read of, they are
    encoded as there, to the bit; floats that were not in it are stored as they are.
    """
    flat = [column.values if isinstance(column, Ragged) else column for column in columns.values()]
    if like is None:
        coded = [_numbers(field, values) for field, values in zip(layout.fields, flat, strict=True)]
    else:
        rows = zip(layout.fields, flat, like.minima, like.sizes, strict=True)
        coded = [_numbers_like(field, values, minimum, int(size)) for field, values, minimum, size in rows]
    minima = np.array([minimum for minimum, _, _ in coded], "<u8")
    numbers = [number for *_, number in coded]
    sizes = np.array([size for _, size, _ in coded], np.int64)
    counts = np.stack([np.ones(events, np.int64), *(lengths(layout, columns, row) for row in layout.parents)])
    bits = sizes[:, None] * counts[layout.group]
    ends = np.cumsum(bits.sum(0))
    first = ends - bits.sum(0) + np.cumsum(bits, 0) - bits
    total = int(ends[-1])
    words = np.zeros(-(-total // 64) + xcdf_bits.PADDING, "<u8")
    for row in np.flatnonzero(sizes):
        positions = bit_positions(first[row], counts[layout.group[row]], sizes[row : row + 1])
        xcdf_bits.pack(words, positions, numbers[row])
    extents = [
        Extent(highest(values), int(minimum), int(size)) if len(values) else None
        for values, minimum, size in zip(flat, minima, bits.sum(1), strict=True)
    ]
    return EncodedBlock(BlockHeader(events, minima, sizes), words.tobytes()[: -(-total // 8)], extents)


def lengths(layout: Layout, columns: Columns, row: int) -> np.ndarray:
    """Lengths, int64 [events], of the vectors whose parent is field `row`."""
    parent = columns[layout.fields[row].name]
    return (parent.sums() if isinstance(parent, Ragged) else parent).astype(np.int64)


def merge(field: Field, blocks: Sequence[Extent | None]) -> Statistics:
    """The statistics of a field in a file from its extents in the blocks."""
    filled = [block for block in blocks if block is not None]
    if not filled:
        return Statistics(0, 0, 0, False)
    greatest, least = (
        _bits(_extreme(np.array([getattr(block, which) for block in filled], "<u8").view(field.type.dtype), which))
        for which in ("maximum", "minimum")
    )
    return Statistics(greatest, least, sum(block.size for block in filled) // 8, True)


def highest(values: np.ndarray) -> int:
    """Bits of the greatest value; of the first NaN where there is one."""
    return _bits(_extreme(values, "maximum"))


def rounded(field: Field, statistics: Statistics) -> int:
    """Bits of the greatest value as it is read, where `statistics` have it before rounding."""
    if field.resolution <= 0:
        return statistics.maximum
    values = np.array([statistics.minimum, statistics.maximum], "<u8").view(field.type.dtype)
    minimum, size, numbers = _numbers(field, values)
    return _bits(decode(field, numbers, np.array([minimum], "<u8"), np.array([size]))[1:])


def _numbers(field: Field, values: np.ndarray) -> tuple[int, int, np.ndarray]:
    """Bits of the least value, size of a value in bits, and numbers u8 [values] of steps above the least value.

    Integers become the nearest multiple of the resolution that their type has.
    """
    if not len(values):
        return 0, 0, np.empty(0, np.uint64)
    lowest = _extreme(values, "minimum")
    if field.type == FieldType.FLOAT:
        return _float_numbers(values, lowest, field.resolution)
    step = int(field.resolution)
    limits = np.iinfo(values.dtype)
    minimum = int(lowest[0]) // step * step
    minimum += step if minimum < limits.min else 0
    above = np.where(values < minimum, 0, values.view("<u8") - np.uint64(minimum % MODULUS))
    numbers = above // np.uint64(step)
    rest = above % np.uint64(step)
    numbers += rest >= np.uint64(step - step // 2)
    np.minimum(numbers, np.uint64((limits.max - minimum) // step), out=numbers)
    return minimum % MODULUS, int(numbers.max()).bit_length(), numbers


def _float_numbers(values: np.ndarray, lowest: np.ndarray, step: float) -> tuple[int, int, np.ndarray]:
    with np.errstate(all="ignore"):
        aligned = lowest / step + 0.5
        minimum = np.floor(aligned) * step if abs(aligned[0]) <= ALIGNED else lowest
        steps = np.floor((values - minimum) / step + 0.5)
        whole = step > 0 and abs(lowest[0] / step) < 2.0**MOST_BITS and steps.max() < 2.0**MOST_BITS
    if not whole:  # nor where anything is NaN or infinite
        return _bits(lowest), 64, values.view("<u8")
    numbers = np.maximum(steps, 0).astype(np.uint64)
    return _bits(minimum), int(numbers.max()).bit_length(), numbers


def _numbers_like(field: Field, values: np.ndarray, minimum: np.uint64, size: int) -> tuple[int, int, np.ndarray]:
    """The same with this minimum and size, if they give exactly these values."""
    if field.type != FieldType.FLOAT:
        step = to_bits(field.resolution, field.type)
        twos = (step & -step).bit_length() - 1  # division modulo 2^64, in which values may have gone round
        numbers = ((values.view("<u8") - minimum) >> np.uint64(twos)) * np.uint64(pow(step >> twos, -1, MODULUS))
        numbers &= xcdf_bits.MASKS[64 - twos]
    elif size == 64:
        numbers = values.view("<u8")
    else:
        with np.errstate(all="ignore"):
            steps = np.rint((values - minimum.view("<f8")) / field.resolution).clip(0, 2.0 ** min(size, MOST_BITS) - 1)
            numbers = steps.astype("<u8")
            for beside in (steps + 1, steps - 1):  # where steps are finer than floats are
                wrong = _differ(field, values, numbers, minimum, size)
                numbers = np.where(wrong, beside.astype("<u8"), numbers)
    if (numbers <= xcdf_bits.MASKS[size]).all() and not _differ(field, values, numbers, minimum, size).any():
        return int(minimum), size, numbers
    if field.type != FieldType.FLOAT:
        return _numbers(field, values)
    return _bits(_extreme(values, "minimum")), 64, values.view("<u8")


def _differ(field: Field, values: np.ndarray, numbers: np.ndarray, minimum: np.uint64, size: int) -> np.ndarray:
    """Whether numbers are decoded as other values, bool [values]."""
    decoded = decode(field, numbers, np.array([minimum], "<u8"), np.array([size]))
    return decoded.view("<u8") != values.view("<u8")


def _extreme(values: np.ndarray, which: str) -> np.ndarray:
    """The greatest or least value, one element; the first NaN where there is one."""
    if values.dtype.kind == "f" and (missing := np.isnan(values)).any():
        return values[missing][:1]
    return np.array([getattr(np, which).reduce(values)], values.dtype)


def _bits(value: np.ndarray) -> int:
    return int(value.view("<u8")[0])
