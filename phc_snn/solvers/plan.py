"""Which steps of a sample `Exact` solves next: by sweeping over a window, or step by step.

A sweep over a window of W steps proves its first steps and leaves a better guess of the others.
Where the network forgets soon, a handful of sweeps proves any window; where differences live on,
each sweep proves a few steps more and a wide window is work thrown away. No one knows which before
trying, so a `Plan` opens a window, watches how many steps each sweep still changes, projects the
sweeps to come, and gives up windows that would not pay. What is given up costs the sweeps so far; a
ledger keeps their sum in bounds, whatever the network does:

- until a window has been proved by sweeping, a sample takes at most 3 times the updates of stepping
  through it;
- ever, at most 10 times.

All decisions about a sample come from that sample alone.
"""

import math
from dataclasses import dataclass, field

MOST_SWEEPS = 10
"""Sweeps that a window may be projected to take before it is given up."""

_UNPROVED_LIMIT, _PROVED_LIMIT = 3, 10
_NARROWEST = 8
"""In blocks: narrower windows save no passes over stepping."""


@dataclass
class Plan:
    """The course of one sample: what is solved, what is open, and what was spent.

    Args:
        length: T.
        block: Steps that can be taken at once without a sweep (`Circuit.block`).
        most_passes: Only so many passes, each a sweep over all that is left: the best guess of it
            that so many passes can give. None goes on, window by window, until all is proved.

    Attributes:
        start: Leading steps that are proved.
        end: End of the open window, or of the open stretch of stepping.
        stepping: Whether ``start`` to ``end`` is to be stepped through.
        passes: Sweeps, and blocks of steps.
        spent: Neuron updates, in time steps.
    """

    length: int
    block: int
    most_passes: int | None = None
    start: int = 0
    end: int = 0
    stepping: bool = False
    passes: int = 0
    spent: int = 0
    width: int = field(init=False)
    _proved: bool = False
    _sweeps: int = 0
    _changed: int = 0
    _stretch: int = 0

    def __post_init__(self) -> None:
        self.width = self.length // 4
        self._open()

    @property
    def finished(self) -> bool:
        return self.start == self.length or self.passes == self.most_passes

    def swept(self, proved: int, changed: int) -> None:
        """Take note of a sweep from ``start`` to ``end``.

        Args:
            proved: Leading steps that it proved.
            changed: The steps behind them on which a spike changed.
        """
        self.spent += self.end - self.start
        self.passes += 1
        self._sweeps += 1
        self.start += proved
        if self.start == self.end:
            self._proved = True
            if self._sweeps <= MOST_SWEEPS // 2 + 1:
                self.width *= 2
            self._open()
        elif self.most_passes is None and not self._pays(changed):
            self.width //= 4
            self._open()
        self._changed = changed

    def stepped(self, steps: int) -> None:
        """Take note of steps taken one after the other."""
        self.spent += steps
        self.start += steps
        if self.start < self.end:
            return
        self.passes += math.ceil(self._stretch / self.block)
        self.width = self._stretch // 8  # so a window that fails costs less than the steps before
        self._open()

    def _open(self) -> None:
        """Open the next window or stretch at ``start``."""
        if self.most_passes is not None:
            self.end = self.length
            return
        rest = self.length - self.start
        # No sliver at the end: a window takes the rest along if that is half as wide as it is.
        width = rest if rest < 1.5 * self.width else self.width
        self._sweeps = 0
        self.stepping = self.width < _NARROWEST * self.block or not self._affords(width)
        if self.stepping:
            width = rest // 4 if rest // 32 >= _NARROWEST * self.block else rest
            self.width, self._stretch = 0, width
        self.end = self.start + width

    def _affords(self, width: int) -> bool:
        """Whether the ledger holds if a window takes one more sweep and all else is stepped."""
        limit = _PROVED_LIMIT if self._proved else _UNPROVED_LIMIT
        return self.spent + width + self.length - self.start <= limit * self.length

    def _pays(self, changed: int) -> bool:
        """Whether the open window should be swept again."""
        width = self.end - self.start
        if not self._affords(width):
            return False
        if self._sweeps == 1 or changed == 0:
            return True
        ratio = changed / max(self._changed, 1)
        if self._sweeps == 2:
            ratio *= ratio  # the first sweep starts from nothing; contraction shows from the second
        if ratio >= 1:
            return False
        # The changed steps fall by this ratio from sweep to sweep, until none is left to change.
        to_come = 1 + math.log(changed) / -math.log(ratio)
        most = min(MOST_SWEEPS, self.width / (2 * self.block))
        return self._sweeps + to_come <= most
