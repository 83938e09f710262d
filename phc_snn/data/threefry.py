"""Threefry, a random generator that is a pure function, and the shuffle that JAX makes of it.

Published splits were drawn with JAX. They can be drawn again, for any set and seed, with nothing
but the arithmetic here.

Source of the generator: J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random
numbers: as easy as 1, 2, 3", SC 2011, section 4.2. How JAX counts, and how it shuffles, follows its
``jax.random`` with ``jax_threefry_partitionable=False``, which was the default before JAX 0.5 and
which the published splits were drawn with.
"""

import math

import numpy as np

from phc_snn.checks import check_positive

Words = np.ndarray
"""32-bit words, uint32."""

_PARITY = np.uint32(0x1BD11BDA)
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_GROUPS = 5
"""Groups of four rounds: 20 in all, the number that the paper recommends."""


def threefry2x32(key: Words, first: Words, second: Words) -> tuple[Words, Words]:
    """Encrypt pairs of 32-bit words: Threefry-2x32 of 20 rounds.

    Args:
        key: (2,) uint32.
        first, second: The two words of each pair, uint32, of one shape.

    Returns:
        The two words of each encrypted pair, in that shape.

    Example:
        >>> zero = np.zeros(1, np.uint32)
        >>> [f"{int(word[0]):08x}" for word in threefry2x32(np.zeros(2, np.uint32), zero, zero)]
        ['6b200159', '99ba4efe']
    """
    schedule = (key[0], key[1], key[0] ^ key[1] ^ _PARITY)
    # Whole arrays wrap around silently; numpy warns of single numbers that do.
    a, b = np.atleast_1d(first) + schedule[0], np.atleast_1d(second) + schedule[1]
    for group in range(1, _GROUPS + 1):
        for rotation in _ROTATIONS[(group - 1) % 2]:
            a = a + b
            b = a ^ ((b << np.uint32(rotation)) | (b >> np.uint32(32 - rotation)))
        a = a + schedule[group % 3]
        b = b + np.atleast_1d(schedule[(group + 1) % 3]) + np.uint32(group)
    return a.reshape(np.shape(first)), b.reshape(np.shape(second))


def seed_key(seed: int) -> Words:
    """The key (2,) that JAX's ``PRNGKey`` makes of a seed.

    Raises:
        ValueError: A seed outside 0 to 2**32 - 1. (JAX takes others modulo 2**32.)
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ValueError(f"seed: got {seed!r}, expected an integer from 0 to {2**32 - 1}")
    return np.array([0, seed], dtype=np.uint32)


def random_words(key: Words, count: int) -> Words:
    """(count,) random words of a key.

    The counter's numbers 0, 1, ... are encrypted in pairs: the first half of them are the first
    words, the second half are the second words, and an odd one out is paired with 0.
    """
    counter = np.zeros(count + count % 2, dtype=np.uint32)
    counter[:count] = np.arange(count, dtype=np.uint32)
    first, second = np.split(counter, 2)
    words: Words = np.concatenate(threefry2x32(key, first, second))[:count]
    return words


def split_key(key: Words, count: int = 2) -> Words:
    """(count, 2): new keys made of one."""
    return random_words(key, 2 * count).reshape(count, 2)


def shuffled(key: Words, count: int) -> np.ndarray:
    """(count,) the numbers 0 to count - 1 as ``jax.random.permutation(key, count)`` orders them.

    They are sorted by random words, stably, as often as makes it improbable that equal words leave
    a trace of the order before.

    Args:
        key: (2,) uint32.
        count: At least 1.

    Raises:
        ValueError: A count below 1.

    Example:
        >>> shuffled(seed_key(0), 5).tolist()
        [1, 0, 4, 3, 2]
    """
    check_positive("count", count)
    order = np.arange(count)
    rounds = math.ceil(3 * math.log(count) / math.log(2**32 - 1))
    for _ in range(rounds):
        key, drawn_with = split_key(key)
        order = order[np.argsort(random_words(drawn_with, count), kind="stable")]
    return order
