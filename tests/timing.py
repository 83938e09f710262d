"""How running time grows, on a machine that is busy with other things too."""

import time

DOUBLINGS = 3


def _best(run, repeats):
    times = []
    for _ in range(repeats):
        began = time.process_time()  # not wall-clock: neighbours are not this code's doing
        run()
        times.append(time.process_time() - began)
    return min(times)


def assert_linear(prepare, length, factor=2.5, repeats=3, attempts=4):
    """Each doubling of the length takes at most ``factor`` times as long, over three doublings.

    ``prepare(length)`` returns what is to be timed. Three doublings, since the one at which the
    data leaves a cache can take four times as long. The least of several times is the least
    disturbed one, and a growth that is too large by accident is not so again and again.
    """
    short, long = prepare(length), prepare(length * 2**DOUBLINGS)
    short(), long()  # compilation and caches
    growth = []
    for _ in range(attempts):
        ratio = _best(long, repeats) / _best(short, repeats)
        growth.append(round(ratio ** (1 / DOUBLINGS), 2))
        if growth[-1] <= factor:
            return
    raise AssertionError(f"doubling the length takes {growth} times as long")
