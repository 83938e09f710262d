"""The loop: neurons, synapses and connectome as a recurrent network (Chiang 2026, Eqs. 11-14)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from phc_snn.checks import check_finite, check_input, check_state
from phc_snn.neurons.base import Neuron
from phc_snn.process import OneStep, Process, TimeAxis
from phc_snn.state import batch_size, tensors
from phc_snn.synapses.connectome import HierarchicalConnectome
from phc_snn.synapses.delay import Delay

if TYPE_CHECKING:
    from phc_snn.solvers import Solver


class PHCState(NamedTuple):
    """State of a `PHC` between two steps: the neurons' and each synaptic process's own."""

    neuron: Any
    synapses: tuple[Any, ...]


@dataclass
class Solution:
    """What a solver returns, with the account of how it got there.

    Attributes:
        spikes: (T, B, N), 0 or 1.
        voltage: (T, B, N), what is compared with the threshold.
        current: (T, B, N), the input current that drove these spikes.
        state: `PHCState` after the last step, to carry into the next chunk.
        sweeps: (B,) sweeps used for each sample.
        certified_steps: (B,) leading steps on which the result is proved equal to `Sequential`'s:
            the transmission reproduced the current bit for bit. Equal in every bit where the scan
            backend keeps the step's order, to rounding where it does not.
        converged: (B,) whether the solver's own criterion was met: for `Exact` the certificate, for
            `Jacobi` its tolerance (the certificate if it has none), always for `Sequential`.
        residuals: (sweeps, B) relative change of the synaptic current in each sweep; NaN after a
            sample has stopped.
    """

    spikes: Tensor
    voltage: Tensor
    current: Tensor
    state: PHCState
    sweeps: Tensor
    certified_steps: Tensor
    converged: Tensor
    residuals: Tensor


class PHC(nn.Module):
    """Parallelized Hierarchical Connectome: a recurrent spiking network over any neuron `Process`.

    ::

        I[t] = W_struct synapses(s)[t] + drive x[t],    s = neuron(I)

    How this loop is closed over time is the solver's business (`phc_snn.solvers`): the same network
    trains with `Jacobi` or `Exact`, in parallel over time, and runs with `Sequential` or `step`.

    Args:
        neuron: The neuron model, N neurons.
        synapses: Processes along each axon, in order, typically ``[Delay(N), TsodyksMarkram(N)]``;
            one process, a sequence, or None for none.
        connectome: Transmission between the N neurons.
        drive: Factor of the input, ``alpha_drive``. Default 1.
        solver: Default solver of `forward`; ``Jacobi(4)`` if None.

    Attributes:
        delay: d, the smallest number of steps from a spike to its effect on another neuron.
        check_finite: Refuse NaN and Inf at the door; set it to False where input is known finite.

    Example:
        >>> import torch, phc_snn as phc
        >>> connectome = phc.HierarchicalConnectome(phc.Topology.bidirectional(8))
        >>> network = phc.PHC(phc.ALIF(8), [phc.Delay(8), phc.TsodyksMarkram(8)], connectome)
        >>> solution = network(torch.randn(50, 4, 8), solver=phc.Exact())
        >>> bool(solution.converged.all())
        True
        >>> spikes, voltage, state = network.step(torch.randn(4, 8), solution.state)
    """

    def __init__(
        self,
        neuron: Neuron,
        synapses: Process | Sequence[Process] | None,
        connectome: HierarchicalConnectome,
        *,
        drive: float = 1.0,
        solver: "Solver | None" = None,
    ) -> None:
        super().__init__()
        from phc_snn.solvers import Jacobi

        chain = [synapses] if isinstance(synapses, Process) else list(synapses or ())
        parts: list[Any] = [neuron, *chain, connectome]
        if not isinstance(neuron, Neuron):
            raise TypeError(f"neuron: got {type(neuron).__name__}, expected a phc_snn neuron")
        for part in chain:
            if not isinstance(part, Process) or isinstance(part, Neuron):
                raise TypeError(f"synapses: got {type(part).__name__}, expected synaptic processes")
        if len({part.features for part in parts}) != 1:
            sizes = ", ".join(f"{type(part).__name__} {part.features}" for part in parts)
            raise ValueError(
                f"neuron, synapses, connectome: got {sizes} neurons, expected one number for all"
            )
        self.neuron = neuron
        self.synapses = nn.ModuleList(chain)
        self.connectome = connectome
        self.drive = float(drive)
        self.solver = Jacobi(4) if solver is None else solver
        self.features = neuron.features
        self.check_finite = True

    @property
    def delay(self) -> int:
        return sum(part.shortest for part in self.synapses if isinstance(part, Delay))

    def initial_state(
        self,
        batch_size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> PHCState:
        """Everything at rest, nothing under way."""
        where = {"device": device, "dtype": dtype}
        return PHCState(
            self.neuron.initial_state(batch_size, **where),  # type: ignore[arg-type]
            tuple(part.initial_state(batch_size, **where) for part in self.synapses),  # type: ignore[operator]
        )

    def forward(
        self, x_seq: Tensor, state: PHCState | None = None, *, solver: "Solver | None" = None
    ) -> Solution:
        """Run a sequence.

        Args:
            x_seq: Input current (T, B, N), time first. T = 0 gives empty output.
            state: State carried from the chunk before; None starts at rest.
            solver: How to close the loop; None takes the network's own.

        Raises:
            TypeError: Input that is not a floating-point tensor; a state of another kind or dtype.
            ValueError: A wrong shape, a state of another batch size, NaN or Inf, or a network that
                the solver cannot solve (`Exact` without a delay).
        """
        start = self._check("x_seq", x_seq, ("T", "B", "N"), state)
        solver = self.solver if solver is None else solver
        return solver.solve(Circuit(self, x_seq.dtype), x_seq, start, at_rest=state is None)

    def step(self, x_t: Tensor, state: PHCState | None = None) -> tuple[Tensor, Tensor, PHCState]:
        """One time step: ``x_t`` (B, N) -> spikes (B, N), voltage (B, N) and the new state.

        What `Sequential` does at each step, for input that arrives one sample at a time.

        Raises:
            TypeError, ValueError: As `forward`.
        """
        from phc_snn.solvers import Sequential

        start = self._check("x_t", x_t, ("B", "N"), state)
        solver = self.solver if isinstance(self.solver, Sequential) else Sequential()
        spikes, voltage, _, state = solver.advance(Circuit(self, x_t.dtype), x_t, start)
        return spikes, voltage, state

    def _check(self, name: str, x: Tensor, dims: tuple[str, ...], state: Any) -> PHCState:
        check_input(name, x, dims, self.features, batch_size(state))
        resting = self.initial_state(x.shape[-2], device=x.device, dtype=x.dtype)
        if state is not None:
            check_state(state, resting)
        if self.check_finite:
            check_finite(name, x)
        return resting if state is None else state

    def extra_repr(self) -> str:
        return f"delay={self.delay}, drive={self.drive}, solver={self.solver}"


class Circuit:
    """A network with its coefficients evaluated: what the solvers put together.

    The two halves of the loop, `fire` along time and `transmit` along the axons and across neurons,
    work on any time axis. `receive` and `send` are `transmit` cut at the delay: what arrives in a
    step is known before the neurons fire in it.
    """

    def __init__(self, network: PHC, dtype: torch.dtype) -> None:
        self.network = network
        self.delay = network.delay
        self.drive = network.drive
        self.processes: list[Process] = list(network.synapses)  # type: ignore[arg-type]
        self._neuron = network.neuron.coefficients(dtype)
        self._synapses = [part.coefficients(dtype) for part in self.processes]
        self._weight = network.connectome.weight.to(dtype)
        self._cut = next(
            (i for i, p in enumerate(self.processes) if isinstance(p, Delay) and p.shortest > 0), 0
        )

    def fire(self, current: Tensor, state: PHCState, time: TimeAxis) -> tuple[Tensor, Tensor, Any]:
        """Spikes and voltage of the neurons under ``current``, and their new state."""
        (spikes, voltage), neuron = self.network.neuron.dynamics(
            current, state.neuron, self._neuron, time
        )
        return spikes, voltage, neuron

    def transmit(
        self, spikes: Tensor, state: PHCState, time: TimeAxis
    ) -> tuple[Tensor, tuple[Any, ...]]:
        """Synaptic current of ``spikes``, and the synapses' new states."""
        signal, states = self._pass(spikes, state.synapses, 0, len(self.processes), time)
        return self.network.connectome(signal, self._weight), states

    def receive(self, state: PHCState) -> tuple[Tensor, tuple[Any, ...]]:
        """Synaptic current of the coming step, from what is under way; needs a delay of at least 1.

        Returns the states of the processes behind the delay, which have taken this step already.
        """
        cut = self._cut
        delay = self.processes[cut]
        signal, behind = self._pass(
            delay.due(state.synapses[cut]),  # type: ignore[operator]
            state.synapses,
            cut + 1,
            len(self.processes),
            OneStep(),
        )
        return self.network.connectome(signal, self._weight), behind

    def send(self, spikes: Tensor, state: PHCState, behind: tuple[Any, ...]) -> tuple[Any, ...]:
        """The synapses' states after the step in which the neurons fired ``spikes``."""
        _, ahead = self._pass(spikes, state.synapses, 0, self._cut + 1, OneStep())
        return ahead + behind

    def requires_grad(self, driven: Tensor, state: PHCState) -> bool:
        """Whether a result depends on anything that wants a gradient."""
        sources = [driven, *tensors(state), *self.network.parameters()]
        return any(source.requires_grad for source in sources)

    def _pass(
        self, signal: Tensor, states: tuple[Any, ...], start: int, stop: int, time: TimeAxis
    ) -> tuple[Tensor, tuple[Any, ...]]:
        after = []
        for i in range(start, stop):
            (signal,), state = self.processes[i].dynamics(
                signal, states[i], self._synapses[i], time
            )
            after.append(state)
        return signal, tuple(after)
