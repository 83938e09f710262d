"""`Neuron`: a `Process` that fires, and a ``snntorch.SpikingNeuron``."""

from collections.abc import Callable
from typing import Any

import torch
from snntorch import SpikingNeuron
from torch import Tensor

from phc_snn.checks import check_features
from phc_snn.parameters import Value, per_neuron
from phc_snn.process import Process
from phc_snn.state import map_state
from phc_snn.surrogate import FastSigmoid, heaviside


class Neuron(Process, SpikingNeuron):  # type: ignore[misc]  # snnTorch has no types
    """Base of all neuron models: ``step`` and ``scan`` return ``(spikes, voltage, state)``.

    The outputs of `dynamics` are the spikes (0 or 1) and the voltage that is compared with the
    threshold: a neuron fires where ``voltage > threshold``, strictly.

    As an snnTorch layer it is called as ``spk, *states = neuron(input_, *states)``, one step at a
    time; the states come in the order of the model's state tuple, the membrane potential last.

    Args:
        features: N, the number of neurons.
        threshold: Firing threshold, one value or N. Default 1.
        spike_grad: Spike function with a surrogate derivative, for example from
            ``snntorch.surrogate``. Default `phc_snn.FastSigmoid`.
        surrogate_disable: Use the bare step function, without any gradient.
        init_hidden: The layer keeps its own state and returns spikes only.
        learn_threshold: Make the threshold a parameter.
        output: With ``init_hidden``, return the states as well.
    """

    spike_grad: Callable[[Tensor], Tensor]
    threshold: Tensor

    def __init__(
        self,
        features: int,
        *,
        threshold: Value = 1.0,
        spike_grad: Callable[[Tensor], Tensor] | None = None,
        surrogate_disable: bool = False,
        init_hidden: bool = False,
        learn_threshold: bool = False,
        output: bool = False,
    ) -> None:
        check_features(features)
        super().__init__(
            features,
            threshold=per_neuron("threshold", threshold, features).to(torch.get_default_dtype()),
            spike_grad=FastSigmoid() if spike_grad is None else spike_grad,
            surrogate_disable=surrogate_disable,
            init_hidden=init_hidden,
            learn_threshold=learn_threshold,
            reset_mechanism="none",
            output=output,
        )
        if surrogate_disable:
            self.spike_grad = heaviside  # snnTorch's own returns float32 for any input
        # snnTorch keeps every neuron ever made in one list, so none is ever freed.
        SpikingNeuron.instances.remove(self)
        self._hidden: Any = None

    def spike(self, x: Tensor) -> Tensor:
        """1 where ``x > 0``, else 0, with the surrogate's gradient, in the dtype of ``x``."""
        return self.spike_grad(x).to(x.dtype)

    def forward(self, input_: Tensor, *states: Tensor | None) -> Any:
        """One step in snnTorch's calling convention.

        Args:
            input_: Input current (B, N).
            states: The states that the last call returned; none, or None, to start at rest.

        Returns:
            ``(spk, *states)``; with ``init_hidden`` only ``spk``, unless ``output`` is set.

        Raises:
            TypeError: States passed although the layer keeps its own (``init_hidden=True``).
        """
        given = any(state is not None for state in states)
        if self.init_hidden and given:
            raise TypeError(
                f"{type(self).__name__} keeps its own state (init_hidden=True); pass no states"
            )
        state = self._hidden
        if state is not None and input_.dim() == 2 and len(state[0]) != len(input_):
            raise ValueError(
                f"input_: batch size {len(input_)} does not match the hidden state's "
                f"{len(state[0])}; call phc_snn.reset(network) between sequences"
            )
        if given:
            kind = type(self.initial_state(0))
            if len(states) != len(kind._fields):
                raise TypeError(
                    f"states: got {len(states)}, expected {len(kind._fields)}: "
                    + ", ".join(kind._fields)
                )
            at_rest = all(s is not None and s.shape[:1] == (0,) for s in states)
            state = None if at_rest else kind(*states)
        spikes, _, state = self.step(input_, state)
        if not self.init_hidden:
            return spikes, *state
        self._hidden = state
        return (spikes, *state) if self.output else spikes

    def __getstate__(self) -> dict[str, Any]:
        """For copy and pickle: a hidden state takes no graph along."""
        content = dict(self.__dict__)
        if self._hidden is not None:
            content["_hidden"] = map_state(torch.Tensor.detach, self._hidden)
        return content

    def extra_repr(self) -> str:
        return f"{self.features}"

    def reset_mem(self) -> Any:
        """Forget the hidden state, and return states at rest to start a loop with.

        The returned states have batch size 0, which the next call takes as "at rest" for any batch.
        """
        self._hidden = None
        states = self.initial_state(0, device=self.threshold.device, dtype=self.threshold.dtype)
        return states[0] if len(states) == 1 else tuple(states)

    def detach_hidden(self) -> None:
        """Cut the hidden state from the graph that computed it."""
        if self._hidden is not None:
            self._hidden = map_state(torch.Tensor.detach, self._hidden)


def reset(module: torch.nn.Module) -> None:
    """Forget the hidden state of every neuron inside ``module``, and only there.

    Neurons of this library and of snnTorch alike. ``snntorch.utils.reset`` knows its own classes
    only, and clears those of every network in the process.
    """
    for part in module.modules():
        if isinstance(part, SpikingNeuron) and hasattr(part, "reset_mem"):
            part.reset_mem()


def detach(module: torch.nn.Module) -> None:
    """Cut the hidden state of every neuron inside ``module`` from the graph that computed it."""
    for part in module.modules():
        if isinstance(part, Neuron):
            part.detach_hidden()
        elif isinstance(part, SpikingNeuron):  # snnTorch keeps its states as buffers
            for name, value in list(part.named_buffers(recurse=False)):
                setattr(part, name, value.detach())
