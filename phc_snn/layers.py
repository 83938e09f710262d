"""Any process or network as one layer of a stack: in snnTorch, in Norse, in ``nn.Sequential``.

`Process` and `PHC` return all they know. A layer returns what the next layer takes. Whether it is
called step by step or with sequences is said by its class, and never guessed from a shape.
"""

import abc
from typing import Any

from torch import Tensor

from phc_snn.hidden import Hidden
from phc_snn.neurons.base import Neuron
from phc_snn.phc import PHC
from phc_snn.process import Process
from phc_snn.solvers import Solver


class Layer(Hidden, abc.ABC):
    """Base of `StepLayer` and `SequenceLayer`.

    Attributes:
        model: The `Process` or `PHC` that it runs.
    """

    def __init__(
        self, model: Process | PHC, *, init_hidden: bool = False, output: bool = False
    ) -> None:
        super().__init__()
        if not isinstance(model, Process | PHC):
            raise TypeError(
                f"model: got {type(model).__name__}, expected a PHC, or a process such as ALIF, "
                "Delay or TsodyksMarkram"
            )
        if getattr(model, "init_hidden", False):
            raise ValueError(
                f"model: the {type(model).__name__} keeps a state of its own (init_hidden=True), "
                "expected one without: the layer keeps it"
            )
        if output and not isinstance(model, Neuron | PHC):
            raise ValueError(f"output: got True, but {type(model).__name__} has no voltage")
        self.model = model
        self.init_hidden = init_hidden
        self.output = output

    @abc.abstractmethod
    def run(self, x: Tensor, state: Any) -> tuple[Any, ...]:
        """``(out, state)``, or ``(spikes, voltage, state)``, of the model for ``x``."""

    def forward(self, input_: Tensor, state: Any = None) -> Any:
        """Call the model.

        Args:
            input_: (B, N) for `StepLayer`, (T, B, N) for `SequenceLayer`.
            state: What the last call returned; None to start at rest.

        Returns:
            ``(out, state)``, the spikes of a neuron or network, the signal of a synapse, and its
            state, a NamedTuple. With ``init_hidden`` only ``out``, or with ``output`` too
            ``(spikes, voltage)``.

        Raises:
            TypeError: A state passed although the layer keeps its own (``init_hidden=True``), or
                one of another kind; input that is not a floating-point tensor.
            ValueError: A wrong shape, a state of another batch size, NaN or Inf.
        """
        kept = self.carried(state is not None, self.init_hidden, input_)
        out, *voltage, after = self.run(input_, kept if self.init_hidden else state)
        if not self.init_hidden:
            return out, after
        self._hidden = after
        return (out, voltage[0]) if self.output else out

    @property
    def outputs(self) -> int:
        """How many values a call returns."""
        return 2 if self.output or not self.init_hidden else 1

    def extra_repr(self) -> str:
        return f"init_hidden={self.init_hidden}, output={self.output}"


class StepLayer(Layer):
    """One call a time step, (B, N) in and out: for snnTorch loops and Norse's ``SequentialState``.

    Args:
        model: A `PHC`, a neuron, or a synaptic process.
        init_hidden: The layer keeps its state, as snnTorch's do: it takes and returns a tensor,
            and fits into ``nn.Sequential``. Call `phc_snn.reset` between sequences.
        output: With ``init_hidden``, return the voltage (B, N) as well, where snnTorch's layers
            return their membrane: for a last layer whose loss reads it.

    Raises:
        TypeError: A model of another kind.
        ValueError: ``output`` for a synapse, which has no voltage; a neuron with ``init_hidden``.

    Example:
        >>> import torch, phc_snn as phc
        >>> layer = phc.StepLayer(phc.TsodyksMarkram(3))
        >>> signal, state = layer(torch.ones(2, 3))
        >>> signal, state = layer(torch.ones(2, 3), state)
        >>> network = torch.nn.Sequential(
        ...     torch.nn.Linear(5, 3), phc.StepLayer(phc.ALIF(3), init_hidden=True)
        ... )
        >>> network(torch.randn(2, 5)).shape
        torch.Size([2, 3])
    """

    def run(self, x: Tensor, state: Any) -> tuple[Any, ...]:
        results: tuple[Any, ...] = self.model.step(x, state)
        return results


class SequenceLayer(Layer):
    """One call a sequence, (T, B, N) in and out, parallel over time where the model is.

    Args:
        model: A `PHC`, a neuron, or a synaptic process.
        init_hidden: As `StepLayer`; a second call goes on where the first one ended, until
            `phc_snn.reset`.
        output: As `StepLayer`; the voltage is (T, B, N).
        solver: Of a `PHC`; None takes the network's own. Call the network itself for the
            `Solution` with its certificate.

    Raises:
        TypeError: A model of another kind, or a solver for a process, which needs none.
        ValueError: ``output`` for a synapse, which has no voltage; a neuron with ``init_hidden``.

    Example:
        >>> import torch, phc_snn as phc
        >>> connectome = phc.HierarchicalConnectome(phc.Topology.bidirectional(8))
        >>> network = phc.PHC(phc.ALIF(8), phc.Delay(8), connectome)
        >>> stack = torch.nn.Sequential(
        ...     torch.nn.Linear(5, 8),
        ...     phc.SequenceLayer(network, init_hidden=True, solver=phc.Exact()),
        ...     torch.nn.Linear(8, 2),
        ... )
        >>> stack(torch.randn(50, 4, 5)).shape
        torch.Size([50, 4, 2])
    """

    def __init__(
        self,
        model: Process | PHC,
        *,
        init_hidden: bool = False,
        output: bool = False,
        solver: Solver | None = None,
    ) -> None:
        super().__init__(model, init_hidden=init_hidden, output=output)
        if solver is not None and not (isinstance(solver, Solver) and isinstance(model, PHC)):
            raise TypeError(
                f"solver: got {solver!r} for a {type(model).__name__}, expected None for a process "
                "and a solver such as phc_snn.Exact() for a PHC"
            )
        self.solver = solver

    def run(self, x: Tensor, state: Any) -> tuple[Any, ...]:
        if isinstance(self.model, PHC):
            solution = self.model(x, state, solver=self.solver)
            return solution.spikes, solution.voltage, solution.state
        results: tuple[Any, ...] = self.model.scan(x, state)
        return results
