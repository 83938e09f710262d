"""From snnTorch's layers to processes and networks of this library, with the same spikes."""

from typing import Any

import snntorch
import torch
from torch import Tensor, nn

from phc_snn.checks import check_features
from phc_snn.emit import is_step
from phc_snn.neurons import LIF, CubaLIF, Neuron
from phc_snn.parameters import per_neuron
from phc_snn.phc import PHC
from phc_snn.solvers import Sequential
from phc_snn.synapses import Connectome, Delay, DenseConnectome, OneToOneConnectome

_CURRENT_BASED = (snntorch.Synaptic, snntorch.RSynaptic)
_RECURRENT = (snntorch.RLeaky, snntorch.RSynaptic)
_RUN = {"_base_sub": "subtract", "_base_zero": "zero", "_base_int": "none"}
"""What snnTorch calls the function of each reset."""
_KINDS = (snntorch.Leaky, snntorch.RLeaky, snntorch.Synaptic, snntorch.RSynaptic)


def from_snntorch(module: nn.Module, *, features: int | None = None) -> Neuron | PHC:
    """The process or network that computes what an snnTorch layer computes, step for step.

    - ``Leaky`` becomes a `LIF`, ``Synaptic`` a `CubaLIF`.
    - ``RLeaky`` becomes a `PHC` of a `LIF`, a `Delay` of one step, and a `DenseConnectome`
      (``all_to_all``) or `OneToOneConnectome`; its solver is `Sequential`.
    - ``RSynaptic`` becomes the same with a `CubaLIF`.

    All reset mechanisms, delayed or not, come along with the parameters; the weights are copied. A
    neuron runs in the same order of operations: the same bits as its layer, wherever its decays can
    be met to the last bit (from 0.3 on in float32; below, to 3e-8). In a recurrent layer snnTorch
    adds input and recurrent current in another order, and its ``nn.Linear`` rounds with the batch:
    the same spikes but for voltages within that rounding of the threshold, which
    `measure_divergence` counts as undecidable.

    What is learnable stays learnable. A value that one learnable number gave to all neurons becomes
    one for each of them.

    Args:
        module: A ``Leaky``, ``RLeaky``, ``Synaptic`` or ``RSynaptic``, trained or not. It stays as
            it is.
        features: N, where every parameter of the layer is one number for all neurons, so that it
            cannot tell.

    Returns:
        A `Neuron` with the layer's ``init_hidden`` and ``output``, to put in its place; or a `PHC`,
        to run with every solver, measure, train, or put into a stack (`StepLayer`,
        `SequenceLayer`).

    Raises:
        TypeError: Another kind of module.
        ValueError: ``features`` missing or contradicted; what has no counterpart here, by name:
            convolutional recurrence, ``state_quant``, graded spikes, a spike that is no step.

    Example:
        >>> import snntorch, torch, phc_snn as phc
        >>> layer = snntorch.RLeaky(beta=0.9, linear_features=8)
        >>> network = phc.from_snntorch(layer)
        >>> currents = torch.randn(50, 4, 8)  # what the layer before it gives
        >>> spikes = network(currents).spikes  # as snnTorch's loop
        >>> exact = network(currents, solver=phc.Exact())
        >>> bool(exact.converged.all())
        True
    """
    if type(module) not in _KINDS:
        names = ", ".join(kind.__name__ for kind in _KINDS)
        raise TypeError(
            f"module: got {type(module).__name__}, expected a layer of snnTorch: {names}; of a "
            "whole network convert these layers one by one"
        )
    layer: Any = module
    _check_counterpart(layer)
    features = _features(layer, features)
    neuron = _neuron(layer, features)
    if not isinstance(layer, _RECURRENT):
        return neuron
    connectome = _connectome(layer, features).to(layer.beta.device)
    return PHC(neuron, Delay(features, 1), connectome, solver=Sequential()).train(layer.training)


def _check_counterpart(layer: Any) -> None:
    """Refuse what has no counterpart here."""
    if getattr(layer, "kernel_size", None) is not None:
        raise ValueError(
            "module: its recurrence is a convolution, which has no counterpart; expected "
            "all_to_all=True with linear_features, or all_to_all=False"
        )
    if layer.state_quant:
        raise ValueError(
            "module: has state_quant, expected none: its state is no affine recurrence"
        )
    factor = layer.graded_spikes_factor
    if factor.requires_grad or bool((factor != 1.0).any()):
        raise ValueError(
            "module: has graded spikes, expected spikes of 0 and 1; scale the weights of the next "
            "layer by graded_spikes_factor instead"
        )
    running = _RUN[layer.state_function.__name__]
    saved = list(snntorch.SpikingNeuron.reset_dict)[int(layer.reset_mechanism_val)]
    if not running == saved == layer.reset_mechanism:
        raise ValueError(
            f"module: says reset_mechanism={layer.reset_mechanism!r} and holds {saved!r}, but runs "
            f"{running!r} (snnTorch fixes it when a layer is built; setting it or loading a state "
            "dict does not change it); build the layer with the reset that is meant"
        )
    if isinstance(layer, snntorch.RSynaptic) and not layer.reset_delay:
        raise ValueError(
            "module: is an RSynaptic with reset_delay=False, expected True (snnTorch 1.0.0 itself "
            "fails when it runs one)"
        )
    if not is_step(layer.spike_grad, layer.threshold.to(torch.get_default_dtype())):
        raise ValueError(
            "module: its spike_grad does not fire exactly where the membrane is above the "
            "threshold (a stochastic or leaky spike), expected a step such as snntorch.surrogate"
            ".atan()"
        )


def _features(layer: Any, features: int | None) -> int:
    """N, from the layer's parameters and the caller's word."""
    found = {
        name: value.numel()
        for name in ("alpha", "beta", "threshold", "V")
        if isinstance(value := getattr(layer, name, None), Tensor) and value.numel() > 1
    }
    if isinstance(getattr(layer, "recurrent", None), nn.Linear):
        found["linear_features"] = layer.linear_features
    if features is not None:
        check_features(features)
        found["features"] = features
    if not found:
        raise ValueError(
            f"features: every parameter of this {type(layer).__name__} is one number for all "
            "neurons; say how many there are with features=N"
        )
    if len(set(found.values())) > 1:
        raise ValueError(f"features: got {found}, expected one number of neurons")
    return next(iter(found.values()))


def _neuron(layer: Any, features: int) -> Neuron:
    mechanism = layer.reset_mechanism
    options: Any = {
        "spike_grad": layer.spike_grad,
        "surrogate_disable": layer.surrogate_disable,
        # In a network its state is the network's.
        "init_hidden": layer.init_hidden and not isinstance(layer, _RECURRENT),
        "output": layer.output and not isinstance(layer, _RECURRENT),
        "inhibition": layer.inhibition,
        "learn_threshold": layer.threshold.requires_grad,
        "reset_mechanism": mechanism,
        "reset_delay": layer.reset_delay,
        # snnTorch's Leaky takes the membrane alone, the other three the input with it.
        "reset_input": mechanism == "zero" and not isinstance(layer, snntorch.Leaky),
    }
    current_based = isinstance(layer, _CURRENT_BASED)
    neuron = CubaLIF(features, **options) if current_based else LIF(features, **options)
    floating = layer.beta.is_floating_point()  # beta=1 is an integer
    dtype = layer.beta.dtype if floating else torch.get_default_dtype()
    neuron.to(device=layer.beta.device, dtype=dtype)
    with torch.no_grad():
        neuron.threshold.copy_(per_neuron("threshold", layer.threshold, features))
    decays = {"membrane_decay": layer.beta}
    if current_based:
        decays["current_decay"] = layer.alpha
    for name, value in decays.items():
        setattr(neuron, name, per_neuron(name, value.detach().clamp(0, 1), features))
        getattr(neuron, f"raw_{name}").requires_grad_(value.requires_grad)
    return neuron.train(layer.training)


def _connectome(layer: Any, features: int) -> Connectome:
    if layer.all_to_all:
        linear = layer.recurrent
        dense = DenseConnectome(linear.weight, linear.bias)
        dense.weight.requires_grad_(linear.weight.requires_grad)
        if dense.bias is not None:
            dense.bias.requires_grad_(linear.bias.requires_grad)
        return dense
    weight = layer.recurrent.V
    dtype = weight.dtype if weight.is_floating_point() else torch.get_default_dtype()
    one_to_one = OneToOneConnectome(per_neuron("V", weight, features).to(dtype))
    return one_to_one.requires_grad_(weight.requires_grad)
