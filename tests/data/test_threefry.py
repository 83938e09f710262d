"""Threefry against the vectors of its authors, and the shuffle against what JAX drew with it."""

import json
from pathlib import Path

import numpy as np
import pytest

from phc_snn.data.threefry import random_words, seed_key, shuffled, split_key, threefry2x32

SPLITS = Path(__file__).parents[3] / "shared" / "data" / "uea" / "linoss_splits.json"


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ("00000000 00000000", "00000000 00000000", "6b200159 99ba4efe"),
        ("ffffffff ffffffff", "ffffffff ffffffff", "1cb996fc bb002be7"),
        ("243f6a88 85a308d3", "13198a2e 03707344", "c4923a9c 483df7a0"),
    ],
)
def test_known_answers_of_random123(counter, key, expected):
    counter, key, expected = (
        np.array([int(word, 16) for word in words.split()], np.uint32)
        for words in (counter, key, expected)
    )
    found = threefry2x32(key, counter[:1], counter[1:])
    assert np.array_equal(np.concatenate(found), expected)


def test_each_pair_is_encrypted_by_itself():
    key = np.array([1, 2], np.uint32)
    first, second = np.arange(12, dtype=np.uint32).reshape(2, 6)
    together = threefry2x32(key, first, second)
    alone = [threefry2x32(key, first[i : i + 1], second[i : i + 1]) for i in range(6)]
    for word in (0, 1):
        assert np.array_equal(together[word], np.concatenate([pair[word] for pair in alone]))


def test_an_odd_count_pairs_the_last_word_with_zero():
    key = seed_key(7)
    padded = threefry2x32(key, np.array([0, 1], np.uint32), np.array([2, 0], np.uint32))
    assert np.array_equal(random_words(key, 3), np.concatenate(padded)[:3])


def test_keys_split_as_in_jax():
    # What jax.random.split(jax.random.PRNGKey(0)) is documented to be.
    assert split_key(seed_key(0)).tolist() == [[4146024105, 967050713], [2718843009, 1272950319]]


def test_short_permutations():
    assert shuffled(seed_key(0), 5).tolist() == [1, 0, 4, 3, 2]
    assert shuffled(seed_key(2345), 12).tolist() == [3, 4, 1, 7, 11, 2, 5, 9, 8, 10, 0, 6]
    assert shuffled(seed_key(0), 1).tolist() == [0]


def test_many_numbers_are_sorted_more_than_once():
    """Above 1625 numbers, where equal words become likely, JAX sorts twice."""
    key = seed_key(1)
    _, drawn_with = split_key(key)
    assert not np.array_equal(
        shuffled(key, 1626), np.argsort(random_words(drawn_with, 1626), kind="stable")
    )
    assert np.array_equal(
        shuffled(key, 1625), np.argsort(random_words(drawn_with, 1625), kind="stable")
    )
    assert np.array_equal(np.sort(shuffled(key, 3000)), np.arange(3000))


@pytest.mark.skipif(not SPLITS.is_file(), reason=f"no published splits at {SPLITS.name}")
def test_all_published_permutations():
    checked = 0
    for known in json.loads(SPLITS.read_text())["datasets"].values():
        for seed, expected in known["perm"].items():
            of_the_data = split_key(seed_key(int(seed)), 4)[0]
            found = shuffled(split_key(of_the_data)[0], known["n"])
            assert found.tolist() == expected
            checked += 1
    assert checked == 30


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0, True])
def test_seeds_that_are_none(seed):
    with pytest.raises(ValueError, match=r"seed: got .*, expected an integer from 0 to 4294967295"):
        seed_key(seed)


def test_nothing_to_shuffle():
    with pytest.raises(ValueError, match="count: got 0, expected a positive integer"):
        shuffled(seed_key(0), 0)
