"""Numbers of 0 to 64 bits in one stream of bits, lowest first: many at once, from and to an array of 64-bit words."""

import numpy as np

PADDING = 2  # words after the last bit that `unpack` and `pack` may touch
MASKS = np.array([(1 << size) - 1 for size in range(65)], np.uint64)


def to_words(data: bytes) -> np.ndarray:
    """Bytes as u8 words with `PADDING` of zeros."""
    words = np.zeros(-(-len(data) // 8) + PADDING, "<u8")
    words.view(np.uint8)[: len(data)] = np.frombuffer(data, np.uint8)
    return words


def unpack(words: np.ndarray, first: np.ndarray, size: np.ndarray | int) -> np.ndarray:
    """The numbers, u8, of `size` bits each from bit `first` (int64) on; both of one shape, or one size for all."""
    word = first >> 6
    shift = (first & 63).view(np.uint64)
    values = words[word] >> shift
    values |= (words[word + 1] << np.uint64(1)) << (np.uint64(63) - shift)  # in two steps: a shift by 64 is undefined
    values &= MASKS[size]
    return values


def pack(words: np.ndarray, first: np.ndarray, values: np.ndarray) -> None:
    """Put numbers (u8, none larger than its bits allow) into words from bit `first` on, where the bits are 0."""
    word = first >> 6
    shift = (first & 63).view(np.uint64)
    np.add.at(words, word, values << shift)
    np.add.at(words, word + 1, (values >> np.uint64(1)) >> (np.uint64(63) - shift))
