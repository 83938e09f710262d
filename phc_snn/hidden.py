"""Layers that keep their own state, in snnTorch's way: ``init_hidden``, reset, detach."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import snntorch
from snntorch import SpikingNeuron, utils
from torch import Tensor, nn

from phc_snn.state import batch_size, map_state


class Hidden(nn.Module):
    """A layer that can keep its state from one call to the next.

    The state goes where the layer goes (``to``, ``copy.deepcopy``, ``pickle``), but it is no part
    of ``state_dict``, and a copy takes no graph along.
    """

    _hidden: Any = None

    @property
    def outputs(self) -> int:
        """How many values a call returns."""
        raise NotImplementedError

    def carried(self, given: bool, init_hidden: bool, x: Tensor) -> Any:
        """The state to start from where the layer keeps it.

        Raises:
            TypeError: States were ``given`` too.
            ValueError: The batch of ``x`` is not that of the state.
        """
        if init_hidden and given:
            raise TypeError(
                f"{type(self).__name__} keeps its own state (init_hidden=True); pass no states"
            )
        state = self._hidden if init_hidden else None
        batch = batch_size(state)
        if batch is not None and x.dim() > 1 and x.shape[-2] != batch:
            raise ValueError(
                f"input_: batch size {x.shape[-2]} does not match the hidden state's {batch}; "
                "call phc_snn.reset(network) between sequences"
            )
        return state

    def reset_mem(self) -> Any:
        """Forget the hidden state."""
        self._hidden = None

    def detach_hidden(self) -> None:
        """Cut the hidden state from the graph that computed it."""
        if self._hidden is not None:
            self._hidden = map_state(Tensor.detach, self._hidden)

    def __getstate__(self) -> dict[str, Any]:
        """For copy and pickle: a hidden state takes no graph along."""
        content = dict(self.__dict__)
        if self._hidden is not None:
            content["_hidden"] = map_state(Tensor.detach, self._hidden)
        return content

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self._hidden is not None:
            self._hidden = map_state(fn, self._hidden)
        return self


def reset(module: nn.Module) -> None:
    """Forget the hidden state of every layer inside ``module``, and only there.

    Layers of this library and of snnTorch alike. ``snntorch.utils.reset`` misses nested modules,
    and clears snnTorch's layers of every network in the process.

    Example:
        >>> import torch, phc_snn as phc
        >>> network = torch.nn.Sequential(torch.nn.Linear(4, 3), phc.ALIF(3, init_hidden=True))
        >>> for sequence in torch.randn(2, 10, 5, 4):  # two batches of ten steps
        ...     phc.reset(network)
        ...     spikes = [network(x_t) for x_t in sequence]
    """
    for part in module.modules():
        if isinstance(part, Hidden | SpikingNeuron) and hasattr(part, "reset_mem"):
            part.reset_mem()


def detach(module: nn.Module) -> None:
    """Cut the hidden state of every layer inside ``module`` from the graph that computed it.

    For truncated backpropagation through time; layers of this library and of snnTorch alike.
    """
    for part in module.modules():
        if isinstance(part, Hidden):
            part.detach_hidden()
        elif isinstance(part, SpikingNeuron):  # snnTorch keeps its states as buffers
            for name, value in list(part.named_buffers(recurse=False)):
                setattr(part, name, value.detach())


class _ThirdParty(SpikingNeuron):  # type: ignore[misc]  # snnTorch has no types
    """A neuron as any other library may have it; tells whether it was reset."""

    was_reset = False

    def reset_mem(self) -> None:
        self.was_reset = True


def teach_snntorch() -> None:
    """Have ``snntorch.utils`` know layers that are not snnTorch's own.

    In snnTorch 1.0.0 ``utils.reset`` and the count of a last layer's outputs, which
    ``snntorch.backprop`` asks for, go by a list of classes. Both are extended, for layers of this
    library only. A snnTorch that resets any `SpikingNeuron` is left as it is, and so is one without
    the function.
    """
    _extend("reset", _reset_ours, wanted=not _resets_third_parties())
    _extend("_final_layer_check", _count_outputs, wanted=hasattr(utils, "_final_layer_check"))


def _resets_third_parties() -> bool:
    if not hasattr(utils, "reset"):
        return False
    probe = _ThirdParty()
    SpikingNeuron.instances.remove(probe)
    utils.reset(nn.Sequential(probe))
    return probe.was_reset


def _extend(name: str, extension: Callable[..., Any], *, wanted: bool) -> None:
    original = getattr(utils, name, None)
    if not wanted or original is None or hasattr(original, "extended_by_phc_snn"):
        return

    @wraps(original)
    def extended(net: nn.Module) -> Any:
        return extension(original, net)

    extended.extended_by_phc_snn = True  # type: ignore[attr-defined]
    setattr(snntorch.utils, name, extended)


def _reset_ours(original: Callable[..., Any], net: nn.Module) -> None:
    original(net)
    for part in net.modules():
        if isinstance(part, Hidden):
            part.reset_mem()


def _count_outputs(original: Callable[..., Any], net: nn.Module) -> int:
    for last in (net, *list(net.children())[-1:]):
        if isinstance(last, Hidden):
            return last.outputs
    count: int = original(net)
    return count
