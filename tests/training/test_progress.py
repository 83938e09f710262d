"""Where a training stands, on disk: complete, or not there."""

import json
import math
import os
from collections import OrderedDict

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from phc_snn.training import progress
from phc_snn.training.progress import NAME, read_checkpoint, write_checkpoint

pytest.importorskip("safetensors")

numbers = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
trees = st.recursive(
    numbers,
    lambda t: (
        st.lists(t)
        | st.lists(t).map(tuple)
        | st.dictionaries(st.text(), t)
        | st.dictionaries(st.integers(), t)
    ),
    max_leaves=12,
)


@given(tree=trees)
def test_nested_values_come_back(tmp_path_factory, tree):
    folder = tmp_path_factory.mktemp("kept")
    write_checkpoint({"tree": tree}, folder, "a")
    assert read_checkpoint(folder) == {"tree": tree}


def test_tensors_come_back_with_type_and_bits(tmp_path):
    shared = torch.randn(4)
    content = {
        "state": OrderedDict(a=shared, b=shared, c=torch.tensor(3), d=torch.zeros(0, 2)),
        "optimizer": {0: {"step": torch.tensor(2.0)}, 1: (torch.tensor([True, False]), math.inf)},
        "$tensor": "a name that is also a mark",
        "view": torch.randn(3, 4).T,
        "half": torch.randn(3).bfloat16(),
    }
    write_checkpoint(content, tmp_path, "a")
    found = read_checkpoint(tmp_path)
    assert list(found["state"]) == ["a", "b", "c", "d"]
    assert found["$tensor"] == content["$tensor"]
    pairs = [(found["state"][n], t) for n, t in content["state"].items()]
    pairs += [(found[n], content[n]) for n in ("view", "half")]
    pairs.append((found["optimizer"][1][0], content["optimizer"][1][0]))
    for a, b in pairs:
        assert a.dtype == b.dtype
        assert torch.equal(a, b)
    assert found["optimizer"][1][1] == math.inf
    assert list(found["optimizer"]) == [0, 1]


def test_what_cannot_be_kept_is_refused_before_anything_is_written(tmp_path):
    write_checkpoint({"x": 1}, tmp_path, "a")
    with pytest.raises(TypeError, match="cannot keep a object"):
        write_checkpoint({"x": object()}, tmp_path, "b")
    assert read_checkpoint(tmp_path) == {"x": 1}


def test_there_is_none(tmp_path):
    assert read_checkpoint(tmp_path) is None


def test_the_last_one_counts_and_the_others_go(tmp_path):
    for i in range(3):
        write_checkpoint({"i": i, "t": torch.tensor(i)}, tmp_path, f"epoch-{i}")
    assert read_checkpoint(tmp_path)["i"] == 2
    assert {path.name for path in tmp_path.iterdir()} == {NAME, "epoch-2.safetensors"}


@pytest.mark.parametrize("call", range(1, 9))
def test_a_process_that_dies_at_any_call_leaves_one_of_the_two(tmp_path, monkeypatch, call):
    """Every call that changes the disk is made the last one in turn."""

    class DiedError(BaseException):
        pass

    write_checkpoint({"i": 1, "t": torch.ones(2)}, tmp_path, "epoch-1")
    left = [call]

    def mortal(function):
        def run(*args, **kwargs):
            left[0] -= 1
            if left[0] <= 0:  # a dead process does nothing more
                raise DiedError
            return function(*args, **kwargs)

        return run

    for name in ("fsync", "replace", "unlink", "rename"):
        monkeypatch.setattr(os, name, mortal(getattr(os, name)))
    try:
        write_checkpoint({"i": 2, "t": torch.zeros(2)}, tmp_path, "epoch-2")
    except DiedError:
        pass
    else:
        assert call > 4, "nothing was made to fail"
    monkeypatch.undo()
    found = read_checkpoint(tmp_path)
    assert found["i"] in (1, 2)
    assert torch.equal(found["t"], torch.ones(2) if found["i"] == 1 else torch.zeros(2))


def test_damage_is_named(tmp_path):
    write_checkpoint({"t": torch.ones(9)}, tmp_path, "a")
    path = tmp_path / "a.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"resume: .*a\.safetensors is damaged or missing: its con"
    ):
        read_checkpoint(tmp_path)
    path.unlink()
    with pytest.raises(ValueError, match=r"a\.safetensors is damaged or missing"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", "nonsense", '{"content": 1}'])
def test_a_file_that_is_none(tmp_path, text):
    (tmp_path / NAME).write_text(text)
    with pytest.raises(ValueError, match=r"resume: .*checkpoint\.json is no checkpoint"):
        read_checkpoint(tmp_path)


def test_another_version(tmp_path):
    write_checkpoint({"i": 1}, tmp_path, "a")
    head = json.loads((tmp_path / NAME).read_text())
    (tmp_path / NAME).write_text(json.dumps({**head, "format": progress.FORMAT + 1}))
    with pytest.raises(ValueError, match="has format 3, this version reads 2; go on with the"):
        read_checkpoint(tmp_path)


def test_a_full_disk_leaves_the_one_before(tmp_path, monkeypatch):
    import safetensors.torch

    write_checkpoint({"i": 1}, tmp_path, "a")

    def full(*_):
        raise safetensors.SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(OSError, match=r"cannot write .*b\.safetensors: .*No space left on device"):
        write_checkpoint({"i": 2}, tmp_path, "b")
    monkeypatch.undo()
    assert read_checkpoint(tmp_path) == {"i": 1}
    assert {path.name for path in tmp_path.iterdir()} == {NAME, "a.safetensors"}
