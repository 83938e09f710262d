"""The samples of a set, each once, in the order of their values; and the file that holds them."""

import numpy as np
import pytest

from phc_snn.data.pool import make_pool, read_pool, unique_order, write_pool


@pytest.mark.parametrize("seed", range(20))
def test_the_order_is_that_of_numpy(seed):
    """Few different values, so that there are duplicates; zeros of both signs; subnormals."""
    rng = np.random.default_rng(seed)
    x = rng.choice(np.float32([-2.0, -1e-40, -0.0, 0.0, 1e-40, 1.5]), size=(60, 1, 2))
    x = np.concatenate([x, x[::-1] + 0], axis=1)[rng.integers(0, 60, 60)]
    expected = np.unique(x, axis=0, return_index=True)[1]
    assert len(expected) < 60
    assert unique_order(x).tolist() == expected.tolist()


def test_the_first_of_equal_samples_counts():
    x = np.float32([[[0.0]], [[5.0]], [[-0.0]]])
    pool = make_pool(x, ["first", "other", "last"])
    assert pool.labels == ("first", "other")
    assert pool.cases.tolist() == [[[0.0]], [[5.0]]]
    assert (pool.positions.tolist(), pool.total) == ([0, 1], 2)


def test_cases_of_different_lengths():
    cases = [np.float32(values)[:, None] for values in ([1, 2, -9], [1, 2], [1, 1], [1, 2])]
    pool = make_pool(cases, [0, 1, 2, 3])
    assert [case[:, 0].tolist() for case in pool.cases] == [[1, 1], [1, 2], [1, 2, -9]]
    assert pool.labels == ("2", "1", "0")


X = np.arange(12, dtype=np.float32).reshape(3, 2, 2)[::-1]


def test_a_whole_set_there_and_back(tmp_path):
    path = tmp_path / "a" / "a.npz"
    write_pool(path, X, ["x", "y", "z"])
    pool = read_pool(path)
    assert np.array_equal(pool.cases, X[::-1])
    assert pool.labels == ("z", "y", "x")


def test_a_part_of_a_set_keeps_its_order(tmp_path):
    write_pool(tmp_path / "a.npz", X, [7, 8, 9], index=np.array([4, 0, 2]), n_total=6)
    pool = read_pool(tmp_path / "a.npz")
    assert np.array_equal(pool.cases, X)
    assert pool.labels == ("7", "8", "9")
    assert pool.positions.tolist() == [4, 0, 2]
    assert pool.total == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": None}, r"found \['y'\], expected an array x; add it"),
        ({"y": None}, r"found \['x'\], expected an array y; add it"),
        ({"x": X[0]}, r"x is float32 \(2, 2\), expected float32 \(samples, T, channels\)"),
        ({"x": X.astype(np.float64)}, r"x is float64 \(3, 2, 2\), expected float32 .*; convert"),
        ({"x": X[:, :0]}, r"x is float32 \(3, 0, 2\), expected .* none of them 0"),
        (
            {"x": np.full_like(X, np.nan)},
            r"x has 12 values that are NaN or Inf",
        ),
        ({"y": np.arange(4)}, r"y is int64 \(4,\), expected \(3,\) class names or whole numbers"),
        ({"y": np.zeros(3)}, r"y is float64 \(3,\), expected \(3,\) class names or whole numbers"),
        ({"index": np.arange(3)}, r"found .*, expected index and n_total, or neither; "),
        ({"index": np.arange(3), "n_total": np.arange(2)}, r"n_total is int64 \(2,\), expected on"),
        (
            {"index": np.array([0, 1, 1]), "n_total": 6},
            r"index has 2 different .*, expected 3",
        ),
        (
            {"index": np.array([0, 1, 6]), "n_total": 6},
            r"index .* to 6, expected 3 from 0 to 5",
        ),
        ({"index": np.array([0, 1, -1]), "n_total": 6}, r"index has .*, -1 to 1, expected "),
        ({"index": np.arange(2), "n_total": 6}, r"index is int64 \(2,\), expected \(3,\) integers"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, change, message):
    content = {"x": X, "y": np.arange(3)} | change
    path = tmp_path / "a.npz"
    np.savez(path, **{name: array for name, array in content.items() if array is not None})
    with pytest.raises(ValueError, match=rf"a\.npz: {message}"):
        read_pool(path)


def test_what_does_not_fit_is_not_written(tmp_path):
    with pytest.raises(ValueError, match=r"a\.npz: y is int64 \(1,\), expected \(3,\)"):
        write_pool(tmp_path / "a.npz", X, [1])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"PK\3\4 no archive", b"text"])
def test_files_that_are_none(tmp_path, content):
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npz: cannot be read as a file of numpy"):
        read_pool(path)


def test_no_file_runs_code(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([print], dtype=object), y=np.arange(1))
    with pytest.raises(ValueError, match=r"cannot be read as a file of numpy .*allow_pickle"):
        read_pool(tmp_path / "a.npz")


def test_no_file_at_all(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_pool(tmp_path / "a.npz")
