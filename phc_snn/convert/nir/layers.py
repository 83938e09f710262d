"""Layers of ours from the nodes of a NIR graph."""

import numpy as np
import torch
from torch import Tensor, nn

from phc_snn.convert.nir.motifs import read
from phc_snn.convert.nir.units import Array, steps_of
from phc_snn.convert.nir.wiring import Wiring
from phc_snn.neurons import Neuron
from phc_snn.phc import PHC
from phc_snn.solvers import Sequential
from phc_snn.synapses import Connectome, Delay, DenseConnectome, OneToOneConnectome

LINKS = ("Linear", "Affine", "Scale", "Delay")
"""What leads from neurons to neurons."""


def link(wiring: Wiring, name: str, width: int, dt: float) -> nn.Module:
    """A node between neurons as a layer, for ``width`` inputs."""
    kind = wiring.kind(name)
    if kind == "Delay":
        return Delay(width, _steps(wiring, name, width, dt))
    if kind == "Scale":
        return OneToOneConnectome(_parameter(wiring, name, "scale", width))
    weight, bias = _weights(wiring, name, width)
    layer = nn.Linear(width, len(weight), bias=bias is not None, device="meta")
    layer.to_empty(device="cpu")
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer


def recurrent(wiring: Wiring, neuron: Neuron, loop: list[str], dt: float) -> PHC:
    """Neurons whose spikes come back to them through the links of a loop.

    Raises:
        ValueError: Two sets of weights in the loop, or delays that differ after the weights.
    """
    features = neuron.features
    delay = np.ones(features, dtype=np.int64)  # the step that a loop takes
    connectome: Connectome | None = None
    for name in loop:
        if wiring.kind(name) == "Delay":
            steps = _steps(wiring, name, features, dt)
            if connectome is not None and len(set(steps)) > 1:
                raise ValueError(
                    f"{wiring.label(name)}: delays what each neuron receives, expected one delay "
                    "for all, or a Delay before the weights"
                )
            delay = delay + np.asarray(steps)
        elif connectome is None:
            connectome = _connectome(wiring, name, features)
        else:
            raise ValueError(
                f"{wiring.label(name)}: is the second set of weights in its loop, expected one"
            )
    if connectome is None:
        connectome = OneToOneConnectome(torch.ones(features))
    return PHC(neuron, Delay(features, delay.tolist()), connectome, solver=Sequential())


def driven(layer: nn.Module | None, network: PHC) -> PHC | None:
    """`network` with the layer before it in its drive and bias; None where it has no place there.

    `to_nir` writes drive and bias as such a layer: ``drive`` times the identity, plus the bias.
    """
    if not isinstance(layer, nn.Linear) or layer.out_features != layer.in_features:
        return None
    weight = layer.weight.detach()
    drive = float(weight[0, 0])
    if not torch.equal(weight, drive * torch.eye(layer.in_features)):
        return None
    connectome = network.connectome
    if layer.bias is not None:
        if not isinstance(connectome, DenseConnectome) or connectome.bias is not None:
            return None
        connectome = DenseConnectome(connectome.weight, layer.bias)
    synapses = [part for part in network.synapses if isinstance(part, Delay)]
    return PHC(network.neuron, synapses, connectome, drive=drive, solver=network.solver)


def _connectome(wiring: Wiring, name: str, features: int) -> Connectome:
    if wiring.kind(name) == "Scale":
        return OneToOneConnectome(_parameter(wiring, name, "scale", features))
    weight, bias = _weights(wiring, name, features)
    if len(weight) != features:
        raise ValueError(
            f"{wiring.label(name)}: gives {len(weight)} values back, expected {features}, one for "
            "each neuron"
        )
    return DenseConnectome(weight, bias)


def _weights(wiring: Wiring, name: str, width: int) -> tuple[Tensor, Tensor | None]:
    shape = tuple(np.shape(wiring.nodes[name].weight))
    if len(shape) != 2 or shape[1] != width:
        raise ValueError(
            f"{wiring.label(name)}: weight has shape {shape}, expected (outputs, {width})"
        )
    weight = _parameter(wiring, name, "weight", shape[0] * shape[1]).reshape(shape)
    if wiring.kind(name) == "Linear":
        return weight, None
    return weight, _parameter(wiring, name, "bias", shape[0])


def _steps(wiring: Wiring, name: str, features: int, dt: float) -> list[int]:
    delay = _values(wiring, name, "delay", features)
    try:
        return steps_of(delay, dt)
    except ValueError as error:
        raise ValueError(f"{wiring.label(name)}: {error}") from error


def _values(wiring: Wiring, name: str, field: str, count: int) -> Array:
    return read(wiring.nodes[name], wiring.label(name), field, count)


def _parameter(wiring: Wiring, name: str, field: str, count: int) -> Tensor:
    return torch.from_numpy(_values(wiring, name, field, count)).to(torch.get_default_dtype())
