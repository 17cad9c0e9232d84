"""Numbers of any size in a stream of bits."""

import numpy as np
import pytest

from airshower.detectors.hawc.xcdf import bits as xcdf_bits


@pytest.mark.parametrize("size", range(65))
def test_numbers_come_back_from_where_they_were_put(size: int) -> None:
    rng = np.random.default_rng(size)
    numbers = rng.integers(0, 1 << 63, 130, dtype=np.uint64) * np.uint64(2) + np.uint64(1) & xcdf_bits.MASKS[size]
    first = 3 + np.arange(len(numbers)) * size
    words = np.zeros(-(-int(first[-1] + size) // 64) + xcdf_bits.PADDING, "<u8")
    xcdf_bits.pack(words, first, numbers)
    stream = int.from_bytes(words.tobytes(), "little")
    assert [(stream >> at) & ((1 << size) - 1) for at in first.tolist()] == numbers.tolist()
    again = xcdf_bits.unpack(xcdf_bits.to_words(words.tobytes()), first, size)
    assert np.array_equal(again, numbers)


def test_each_number_may_have_its_own_size() -> None:
    words = xcdf_bits.to_words(bytes(range(1, 33)))
    stream = int.from_bytes(words.tobytes(), "little")
    first, sizes = np.array([0, 7, 63, 64, 190]), np.array([0, 1, 64, 57, 33])
    expected = [(stream >> int(at)) & ((1 << int(size)) - 1) for at, size in zip(first, sizes, strict=True)]
    assert xcdf_bits.unpack(words, first, sizes).tolist() == expected
