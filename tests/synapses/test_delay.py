"""`Delay`."""

import pytest
import torch

import phc_snn as phc
from tests.tolerances import assert_same_bits


@pytest.mark.parametrize("steps", [0, 1, 2, 8, 30])
def test_output_is_the_input_of_earlier(steps):
    x = torch.randn(20, 2, 3)
    signal, state = phc.Delay(3, steps=steps).scan(x)
    assert_same_bits(signal, torch.cat([torch.zeros(steps, 2, 3), x])[:20])
    assert state.queue.shape == (2, steps, 3)


def test_each_neuron_has_its_own_delay():
    steps = [0, 3, 1, 25]
    x = torch.randn(20, 2, 4)
    signal, _ = phc.Delay(4, steps=steps).scan(x)
    for n, d in enumerate(steps):
        expected = torch.cat([torch.zeros(d, 2), x[..., n]])[:20]
        assert_same_bits(signal[..., n], expected)


@pytest.mark.parametrize("steps", [1, 3, [1, 2, 4]])
def test_due_is_what_the_next_step_delivers(steps):
    delay, x = phc.Delay(3, steps=steps), torch.randn(12, 2, 3)
    state = delay.initial_state(2)
    for x_t in x:
        due = delay.due(state, 1)[0]
        signal, state = delay.step(x_t, state)
        assert_same_bits(due, signal)


def test_queue_holds_the_oldest_first():
    x = torch.arange(1.0, 6.0).reshape(5, 1, 1)
    assert phc.Delay(1, steps=3).scan(x)[-1].queue.flatten().tolist() == [3.0, 4.0, 5.0]


def test_other_delays_are_no_state_to_load():
    saved = phc.Delay(3, steps=[2, 5, 3])
    phc.Delay(3, steps=[2, 5, 3]).load_state_dict(saved.state_dict())
    other = phc.Delay(3, steps=1)
    with pytest.raises(RuntimeError, match="delay: the saved network has other delays"):
        other.load_state_dict(saved.state_dict())
    assert other.delay.tolist() == [1, 1, 1]


def test_steps_as_a_tensor():
    assert phc.Delay(3, steps=torch.tensor([1, 2, 3])).delay.tolist() == [1, 2, 3]
    assert phc.Delay(3, steps=torch.tensor(2, dtype=torch.int32)).delay.tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("steps", "error", "message"),
    [
        (-1, ValueError, "steps: got -1, expected at least 0: a signal cannot arrive before"),
        ([1, -2, 1], ValueError, "steps: got -2, expected at least 0"),
        (1.0, TypeError, "steps: got 1.0, expected an integer number of time steps"),
        ([1, 2.5, 1], TypeError, "steps: got .*, expected an integer"),
        (True, TypeError, "steps: got True, expected an integer"),
        ([1, 2], ValueError, r"steps: got shape \(2,\), expected one value or one for each of 3"),
        ([[1, 2, 3]], ValueError, r"steps: got shape \(1, 3\)"),
    ],
)
def test_bad_steps(steps, error, message):
    with pytest.raises(error, match=message):
        phc.Delay(3, steps=steps)


def test_a_state_of_another_delay_is_refused():
    *_, state = phc.Delay(3, steps=2).scan(torch.zeros(4, 2, 3))
    with pytest.raises(
        ValueError, match=r"state.queue: got shape \(2, 2, 3\), expected \(2, 4, 3\)"
    ):
        phc.Delay(3, steps=4).scan(torch.zeros(4, 2, 3), state)
