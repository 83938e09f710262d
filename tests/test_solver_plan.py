"""The ledger of `Plan` holds whatever a network does, and what it decides is what it promises."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from phc_snn.solvers.plan import MOST_SWEEPS, Plan


def follow(plan, answer):
    """Run a plan to its end; ``answer(width)`` plays the network: steps proved, steps changed."""
    windows = []
    while not plan.finished:
        start, end = plan.start, plan.end
        assert start < end <= plan.length
        if plan.stepping:
            plan.stepped(end - start)
        else:
            proved, changed = answer(end - start)
            windows.append((start, end, proved))
            plan.swept(proved, changed)
        assert plan.start > start or plan.finished
    return windows


@st.composite
def networks(draw):
    """Adversarial answers: any number of proved steps from one block on, any number changed."""
    length = draw(st.integers(1, 3000))
    block = draw(st.integers(1, 16))
    fractions = draw(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=60))
    calls = iter(range(10**9))

    def answer(width):
        proved, changed = fractions[next(calls) % len(fractions)]
        # A few sweeps in a row prove a window only where the first number says all of it.
        done = width if proved > 0.9 else max(min(block, width), int(proved * width / 4))
        return done, int(changed * (width - done))

    return length, block, answer


@settings(max_examples=500)
@given(networks())
def test_work_is_bounded_whatever_happens(network):
    length, block, answer = network
    plan = Plan(length, block)
    windows = follow(plan, answer)
    assert plan.start == length
    assert plan.spent >= length
    assert plan.spent <= 10 * length
    if not any(start + proved == end for start, end, proved in windows):
        assert plan.spent <= 3 * length


@settings(max_examples=200)
@given(st.integers(1, 20_000), st.integers(1, 16))
def test_a_network_that_does_not_settle_costs_at_most_3(length, block):
    plan = Plan(length, block)
    follow(plan, lambda width: (min(block, width), width - min(block, width)))
    assert length <= plan.spent <= 3 * length
    assert plan.passes <= math.ceil(length / block) + 100


@settings(max_examples=200)
@given(st.integers(1, 20_000), st.integers(1, 16), st.floats(0.02, 0.5))
def test_a_network_that_settles_costs_at_most_10(length, block, ratio):
    """The changed steps fall by a ratio; the last sweep of a window proves it."""
    plan = Plan(length, block)
    changed = [0]

    def answer(width):
        changed[0] = width if changed[0] == 0 else int(changed[0] * ratio)
        return (width, 0) if changed[0] == 0 else (min(block, width), changed[0])

    follow(plan, answer)
    assert plan.spent <= 10 * length


def test_a_contractive_network_is_swept_in_three_windows():
    plan = Plan(4096, 1)
    windows = []
    while not plan.finished:
        assert not plan.stepping
        windows.append(plan.end)
        for changed in (1000, 100, 5):
            plan.swept(1, changed)
        plan.swept(plan.end - plan.start, 0)
    assert windows == [1024, 3072, 4096]
    assert plan.passes == 12
    assert plan.spent < 4.01 * 4096


def test_a_chaotic_network_is_given_up_at_the_second_sweep():
    plan = Plan(4096, 1)
    plan.swept(1, 1022)
    assert not plan.stepping
    plan.swept(1, 1010)
    assert plan.end - plan.start < 1024 // 2


def test_a_window_that_would_take_too_many_sweeps_is_given_up():
    plan = Plan(4096, 1)
    for changed in (1000, 500):
        plan.swept(1, changed)
    assert plan.end == 1024, "half of the steps settle with each sweep, faster from the second on"
    plan.swept(1, 450)
    assert plan.end < 1024, f"at 0.9 a sweep more than {MOST_SWEEPS} would be needed"


def test_stepping_tries_a_window_again_later():
    """Where the network turns quiet, sweeping pays again."""
    plan = Plan(10_000, 1)
    tried = follow(plan, lambda width: (1, width - 1) if plan.start < 5000 else (width, 0))
    late = [(start, end) for start, end, _ in tried if start >= 5000]
    assert len(late) >= 2
    assert sum(end - start for start, end in late) > 2500


def test_short_sequences_and_long_delays_are_stepped():
    for length, block in ((31, 1), (500, 16), (1, 1)):
        plan = Plan(length, block)
        assert plan.stepping
        plan.stepped(plan.end - plan.start)
        assert plan.finished
        assert plan.spent == length
        assert plan.passes == math.ceil(length / block)


def test_a_budget_is_spent_on_all_that_is_left():
    plan = Plan(1000, 1, most_passes=2)
    assert (plan.stepping, plan.end) == (False, 1000)
    plan.swept(3, 990)
    assert (plan.start, plan.end, plan.finished) == (3, 1000, False)
    plan.swept(5, 900)
    assert plan.finished
    assert (plan.start, plan.spent) == (8, 1997)
    short = Plan(5, 1, most_passes=3)
    assert (short.stepping, short.end) == (False, 5)
    short.swept(5, 0)
    assert short.finished


def test_nothing_to_do():
    plan = Plan(0, 1)
    assert plan.finished
    assert (plan.passes, plan.spent) == (0, 0)
