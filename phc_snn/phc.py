"""The loop: neurons, synapses and connectome as a recurrent network (Chiang 2026, Eqs. 11-14)."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from phc_snn.checks import check_finite, check_input, check_state
from phc_snn.circuit import Circuit, total_delay
from phc_snn.neurons.base import Neuron
from phc_snn.process import Process
from phc_snn.solution import PHCState, Solution
from phc_snn.solvers import Jacobi, Sequential, Solver, as_solver
from phc_snn.state import batch_size
from phc_snn.synapses.transmission import Connectome


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
        solver: Default solver of `forward`; ``Jacobi(4)`` if None. ``"auto"`` is `Auto`: the result
            of `Sequential` by the way that costs least.

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
        connectome: Connectome,
        *,
        drive: float = 1.0,
        solver: Solver | Literal["auto"] | None = None,
    ) -> None:
        super().__init__()
        chain = [synapses] if isinstance(synapses, Process) else list(synapses or ())
        parts: list[Any] = [neuron, *chain, connectome]
        if not isinstance(neuron, Neuron):
            raise TypeError(f"neuron: got {type(neuron).__name__}, expected a phc_snn neuron")
        for part in chain:
            if not isinstance(part, Process) or isinstance(part, Neuron):
                raise TypeError(f"synapses: got {type(part).__name__}, expected synaptic processes")
        if not isinstance(connectome, Connectome):
            raise TypeError(
                f"connectome: got {type(connectome).__name__}, expected a connectome, for example "
                "a HierarchicalConnectome"
            )
        if len({part.features for part in parts}) != 1:
            sizes = ", ".join(f"{type(part).__name__} {part.features}" for part in parts)
            raise ValueError(
                f"neuron, synapses, connectome: got {sizes} neurons, expected one number for all"
            )
        self.neuron = neuron
        self.synapses = nn.ModuleList(chain)
        self.connectome = connectome
        if not math.isfinite(drive):
            raise ValueError(f"drive: got {drive}, expected a finite number")
        self.drive = float(drive)
        self.solver = Jacobi(4) if solver is None else as_solver(solver)
        self.features = neuron.features
        self.check_finite = True

    @property
    def delay(self) -> int:
        return total_delay(list(self.synapses))

    def initial_state(
        self,
        batch_size: int,
        *,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> PHCState:
        """Everything at rest, nothing under way.

        Args:
            batch_size: B.
            generator: Of what the neurons draw, as `PSpikeSSM`; None for the draws of their seed.
            device, dtype: Of the tensors.
        """
        where: dict[str, Any] = {"device": device, "dtype": dtype}
        return PHCState(
            self.neuron.drawn_state(batch_size, generator, **where),
            tuple(part.initial_state(batch_size, **where) for part in self.synapses),  # type: ignore[operator]
        )

    def forward(
        self,
        x_seq: Tensor,
        state: PHCState | None = None,
        *,
        solver: Solver | Literal["auto"] | None = None,
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
        solver = self.solver if solver is None else as_solver(solver)
        start = self._check("x_seq", x_seq, ("T", "B", "N"), state)
        return solver.solve(self.circuit(x_seq.dtype), x_seq, start)

    def recordable(self, x_seq: Tensor) -> bool:
        """Whether a CUDA graph can record a run of ``x_seq`` (T, B, N) by the network's own solver.

        It can if nothing that is done hangs on a value: not with `Exact`, nor with `Jacobi` and a
        tolerance, nor with `"auto"` where that is `Exact`.

        Raises:
            TypeError, ValueError: As `forward`.
        """
        start = self._check("x_seq", x_seq, ("T", "B", "N"), None)
        return self.solver.recordable(self.circuit(x_seq.dtype), x_seq, start)

    def step(self, x_t: Tensor, state: PHCState | None = None) -> tuple[Tensor, Tensor, PHCState]:
        """One time step: ``x_t`` (B, N) -> spikes (B, N), voltage (B, N) and the new state.

        What `Sequential` does at each step, for input that arrives one sample at a time.

        Raises:
            TypeError, ValueError: As `forward`.
        """
        start = self._check("x_t", x_t, ("B", "N"), state)
        solver = self.solver if isinstance(self.solver, Sequential) else Sequential()
        spikes, voltage, _, state = solver.advance(self.circuit(x_t.dtype), x_t, start)
        return spikes, voltage, state

    def circuit(self, dtype: torch.dtype) -> Circuit:
        """The network with its coefficients evaluated in ``dtype``: what a `Solver` solves."""
        synapses: list[Any] = list(self.synapses)
        return Circuit(self.neuron, synapses, self.connectome, self.drive, dtype)

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
