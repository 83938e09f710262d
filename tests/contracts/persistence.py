"""Promises about saving, copying and refused calls."""

import copy
import io
import pickle
import re

import torch

from phc_snn.state import map_state, tensors
from tests.processes import outputs_of, raised, signal, vary
from tests.tolerances import assert_same_bits


def _same(actual, expected):
    for got, wanted in zip(outputs_of(actual), outputs_of(expected), strict=True):
        assert_same_bits(got, wanted)


def _pickled(process):
    try:
        return pickle.loads(pickle.dumps(process))
    except Exception as error:
        raise AssertionError(f"does not pickle: {error}") from error


def _assert_refused(call, message, kind):
    error = raised(call)
    assert isinstance(error, kind), f"{kind.__name__} expected ({message}), got {error!r}"
    assert re.search(message, str(error)), f"{message!r} is not in {str(error)!r}"


def _saved_and_loaded(state):
    file = io.BytesIO()
    torch.save(tuple(tensors(state)), file)
    file.seek(0)
    loaded = iter(torch.load(file, weights_only=True))
    return map_state(lambda _: next(loaded), state)


@torch.no_grad()
def contract_state_survives_a_round_trip(process):
    """A run that is cut in the middle goes on elsewhere: the state is all there is to carry."""
    x = signal(process, 20)
    *_, whole_end = whole = process.scan(x)
    *_, state = process.scan(x[:9])
    elsewhere = _pickled(process)
    *outputs, end = elsewhere.scan(x[9:], _saved_and_loaded(state))
    for got, wanted in zip(outputs, whole[:-1], strict=True):
        assert_same_bits(got, wanted[9:])
    for got, wanted in zip(tensors(end), tensors(whole_end), strict=True):
        assert_same_bits(got, wanted)


@torch.no_grad()
def contract_state_dict_restores_behaviour(process):
    x = signal(process, 30)
    trained, fresh = vary(copy.deepcopy(process), seed=1), vary(copy.deepcopy(process), seed=2)
    has_parameters = any(True for _ in process.parameters())
    differs = any(
        not torch.equal(a, b)
        for a, b in zip(outputs_of(trained.scan(x)), outputs_of(fresh.scan(x)), strict=True)
    )
    assert differs == has_parameters, "parameters do not act"
    fresh.load_state_dict(trained.state_dict())
    _same(fresh.scan(x), trained.scan(x))


@torch.no_grad()
def contract_parts_of_a_resting_state_are_separate(process):
    """Who sets one part of it in place, a membrane potential say, sets no other."""
    parts = tensors(process.initial_state(2))
    before = [part.clone() for part in parts]
    for i, part in enumerate(parts):
        part.fill_(1.0)
        for later, kept in zip(parts[i + 1 :], before[i + 1 :], strict=True):
            assert_same_bits(later, kept)


@torch.no_grad()
def contract_pickles(process):
    x = signal(process, 30)
    _same(_pickled(process).scan(x), process.scan(x))


@torch.no_grad()
def contract_deepcopy_is_independent(process):
    x = signal(process, 30)
    before = process.scan(x)
    copied = copy.deepcopy(process)
    _same(copied.scan(x), before)
    vary(copied)
    _same(process.scan(x), before)


@torch.no_grad()
def contract_refuses_bad_input(process):
    """Each is refused by an error that names the argument, and nothing is changed by it."""
    n = process.features
    x = signal(process, 6)
    *_, state = process.scan(x)
    kept = map_state(torch.clone, state)
    expected = process.scan(x, state)
    nan = torch.where(torch.arange(6)[:, None, None] == 4, torch.nan, x)
    for call, argument, error in (
        (lambda: process.scan(x[..., :-1], state), "x_seq", ValueError),
        (lambda: process.scan(x[0], state), "x_seq", ValueError),
        (lambda: process.step(x, state), "x_t", ValueError),
        (lambda: process.scan(x.long(), state), "x_seq", TypeError),
        (lambda: process.scan(x.tolist(), state), "x_seq", TypeError),
        (lambda: process.scan(x[:, :2], state), "x_seq", ValueError),
        (lambda: process.scan(x.transpose(0, 1), state), "batch-first", ValueError),
        (lambda: process.scan(x.float(), state), "state", TypeError),
        (lambda: process.scan(x, "nonsense"), "state", TypeError),
        (lambda: process.scan(nan, state), "x_seq: .* NaN or Inf", ValueError),
        (lambda: process.step(nan[4] * torch.inf, state), "x_t: .* NaN or Inf", ValueError),
        (lambda: process.step(torch.zeros(3, n + 1)), f"x_t: .*N = {n}", ValueError),
    ):
        _assert_refused(call, argument, error)
        for now, before in zip(tensors(state), tensors(kept), strict=True):
            assert_same_bits(now, before)
        _same(process.scan(x, state), expected)
