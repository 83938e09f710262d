"""Networks out: as a NIR graph, or a file that holds one."""

import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from phc_snn.convert.nir.chain import Chain
from phc_snn.convert.nir.neurons import Part, neuron_part, refuse
from phc_snn.convert.nir.units import array, check_dt
from phc_snn.extras import require
from phc_snn.files import write_atomically
from phc_snn.models import PHCSSM
from phc_snn.neurons import Neuron
from phc_snn.phc import PHC
from phc_snn.synapses import (
    Connectome,
    Delay,
    DenseConnectome,
    HierarchicalConnectome,
    OneToOneConnectome,
    TsodyksMarkram,
)


def to_nir(model: nn.Module, *, dt: float) -> Any:
    """A network as a NIR graph of standard primitives, exact in forward Euler steps of ``dt``.

    What has no exact form in NIR raises an error that names it; nothing is approximated. A
    recurrent network becomes a subgraph: its neurons, their delay and the weights back to them. An
    edge back is one time step long already, so a delay of d steps is a ``Delay`` of ``(d - 1) dt``,
    and none for d = 1. The graph's metadata say ``discretisation`` and ``dt``.

    Norse takes ``r = 1`` for granted and snnTorch ``dt = 1e-4``: for snnTorch pass ``dt=1e-4``.
    (docs/nir.md says what else either cannot run.)

    Args:
        model: `PHC`, a neuron, `Delay`, a connectome or ``nn.Linear``, or an ``nn.Sequential``,
            ``nn.ModuleList`` or `Chain` of these in order.
        dt: Seconds for a time step. It gives the time constants their unit and changes no spike.

    Returns:
        A ``nir.NIRGraph``.

    Raises:
        MissingExtraError: nir is not installed (extra ``export``).
        TypeError: A module of another kind, or a ``dt`` that is no number.
        ValueError: What NIR cannot hold exactly: plasticity, adaptation, softplus drive, stochastic
            spikes, complex poles, a network without a delay; or layers that do not fit together.

    Example:
        >>> import torch, phc_snn as phc
        >>> from phc_snn import to_nir
        >>> network = phc.PHC(
        ...     phc.LIF(8, reset_mechanism="zero"), phc.Delay(8), phc.DenseConnectome(torch.eye(8))
        ... )
        >>> graph = to_nir(torch.nn.Sequential(torch.nn.Linear(3, 8), network), dt=1e-4)
        >>> sorted(graph.nodes)
        ['input', 'layer_0', 'layer_1', 'output']
    """
    nir = require("nir", extra="export")
    check_dt(dt)
    dt = float(dt)
    nodes: dict[str, Any] = {}
    edges: list[tuple[str, str]] = []
    width = None
    for i, (where, layer) in enumerate(_layers(model, "model")):
        node = _node(layer, dt, where)
        taken, given = _ends(node)
        if width is None:
            nodes["input"] = nir.Input(np.array([taken]))
        elif taken != width:
            raise ValueError(
                f"{where}: takes {taken} inputs, expected {width}, what the layer before gives"
            )
        edges.append((list(nodes)[-1], f"layer_{i}"))
        nodes[f"layer_{i}"], width = node, given
    if width is None:
        raise ValueError("model: has no layers, expected at least one")
    edges.append((list(nodes)[-1], "output"))
    nodes["output"] = nir.Output(np.array([width]))
    return nir.NIRGraph(nodes, edges, metadata={"discretisation": "forward Euler", "dt": dt})


def write_nir(path: str | os.PathLike[str], model: Any, *, dt: float | None = None) -> None:
    """Write a network, or a NIR graph, to a file that is either complete or not there.

    Args:
        path: By custom it ends in ``.nir``; a file that is there already is replaced.
        model: What `to_nir` takes, or a ``nir.NIRGraph``.
        dt: Seconds for a time step; for a graph, which has it, None.

    Raises:
        MissingExtraError, TypeError, ValueError: As `to_nir`; a ``dt`` with a graph, or none
            without one.

    Example:
        >>> import pathlib, tempfile, phc_snn as phc
        >>> from phc_snn import read_nir, write_nir
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "network.nir"
        ...     write_nir(path, phc.LIF(8, reset_mechanism="zero"), dt=1e-4)
        ...     sorted(read_nir(path).nodes)
        ['input', 'layer_0', 'output']
    """
    nir = require("nir", extra="export")
    if isinstance(model, nir.NIRGraph):
        if dt is not None:
            raise ValueError(f"dt: got {dt} with a graph, expected None: it has its time constants")
        graph = model
    elif dt is None:
        raise ValueError("dt: got None, expected seconds for a time step, as 1e-3")
    else:
        graph = to_nir(model, dt=dt)
    write_atomically(Path(path), lambda temporary: nir.write(str(temporary), graph))


def _layers(model: Any, where: str) -> list[tuple[str, nn.Module]]:
    """The layers in order, each with its name in error messages."""
    if isinstance(model, PHCSSM):
        raise ValueError(
            f"{where} (PHCSSM): NIR has no primitive for the LayerNorm of its encoder, its "
            "plasticity, and its readout over all time; export a PHC of neurons, Delay and "
            "connectome, between nn.Linear layers"
        )
    if isinstance(model, Chain):
        model = model.layers
    if type(model) in (nn.Sequential, nn.ModuleList):
        parts = [_layers(part, f"{where}[{i}]") for i, part in enumerate(model)]
        return [layer for part in parts for layer in part]
    if not isinstance(model, nn.Module):
        raise TypeError(f"{where}: got {type(model).__name__}, expected an nn.Module")
    return [(where, model)]


def _node(layer: nn.Module, dt: float, where: str) -> Any:
    """One layer as a node, which is a graph of its own where it takes several."""
    nir = require("nir", extra="export")
    if isinstance(layer, PHC):
        return _subgraph(_recurrent(layer, dt, where), layer.features)
    if isinstance(layer, Neuron):
        part = neuron_part(layer, dt, where)
        single = len(part.nodes) == 1
        return part.nodes[part.first] if single else _subgraph(part, layer.features)
    if isinstance(layer, Delay):
        return nir.Delay(delay=array(layer.delay).astype(np.float64) * dt)
    if type(layer) is OneToOneConnectome:
        return nir.Scale(scale=_finite(layer.weight, f"{where}.weight"))
    if isinstance(layer, Connectome):
        weight, bias = _weights(layer, where)
        return _affine(weight, bias, where)
    if type(layer) is nn.Linear:
        return _affine(layer.weight, layer.bias, where)
    if isinstance(layer, TsodyksMarkram):
        raise _plasticity(where)
    raise TypeError(
        f"{where}: got {type(layer).__name__}, which NIR has no exact form for; expected a PHC, a "
        "neuron, Delay, a connectome or nn.Linear, or nn.Sequential of these"
    )


def _recurrent(network: PHC, dt: float, where: str) -> Part:
    """The loop of a network, its neurons entered and left by the outside."""
    nir = require("nir", extra="export")
    delay = torch.zeros(network.features, dtype=torch.long)
    for i, process in enumerate(network.synapses):
        if isinstance(process, TsodyksMarkram):
            raise _plasticity(f"{where}.synapses[{i}]")
        if type(process) is not Delay:
            raise refuse(
                f"{where}.synapses[{i}]", type(process).__name__, "only Delay goes out of synapses"
            )
        delay = delay + process.delay.cpu()
    if bool((delay < 1).any()):
        raise refuse(
            f"{where}.synapses",
            "a spike that acts in its own step (a delay of 0): an edge back takes one",
            f"give the network a Delay({network.features}, steps=1) or longer",
        )
    neuron = neuron_part(network.neuron, dt, f"{where}.neuron")
    nodes, edges, first = dict(neuron.nodes), list(neuron.edges), neuron.first
    weight, bias = _weights(network.connectome, f"{where}.connectome")
    if network.drive != 1.0 or bias is not None:
        # The bias on the way in, not in the loop: Norse and snnTorch have nothing come out of a
        # loop in the first step. As a matrix: neither has Scale, and Norse leaves it out silently.
        scaled = network.drive * torch.eye(network.features, dtype=torch.float64)
        nodes["drive"] = _affine(scaled, bias, where)
        edges, first = [("drive", neuron.first), *edges], "drive"
    nodes["recurrent"] = _affine(weight, None, f"{where}.connectome")
    back = [neuron.last, "recurrent", neuron.first]
    if bool((delay > 1).any()):
        nodes["delay"] = nir.Delay(delay=(delay.numpy() - 1) * dt)
        back.insert(1, "delay")
    return Part(nodes, [*edges, *itertools.pairwise(back)], first, neuron.last)


def _subgraph(part: Part, features: int) -> Any:
    """A graph of its own.

    Norse runs nodes depth first in the order of the edges, and returns what the last one gives: the
    edge to the output has to stand last. snnTorch, given the loop outside a subgraph, sends the
    input through the recurrent weights.
    """
    nir = require("nir", extra="export")
    ends = {"input": nir.Input(np.array([features])), "output": nir.Output(np.array([features]))}
    edges = [("input", part.first), *part.edges, (part.last, "output")]
    return nir.NIRGraph(ends | part.nodes, edges)


def _weights(connectome: nn.Module, where: str) -> tuple[Tensor, Tensor | None]:
    """Weights (N, N) and bias (N,) of a connectome."""
    if type(connectome) is HierarchicalConnectome:
        return connectome.weight, None
    if type(connectome) is DenseConnectome:
        return connectome.weight, connectome.bias
    if type(connectome) is OneToOneConnectome:
        return torch.diag(connectome.weight), None
    raise refuse(
        f"{where} ({type(connectome).__name__})",
        "its transmission",
        "what goes out is HierarchicalConnectome, DenseConnectome and OneToOneConnectome",
    )


def _affine(weight: Tensor, bias: Tensor | None, where: str) -> Any:
    nir = require("nir", extra="export")
    weights = _finite(weight, f"{where}.weight")
    if bias is None:
        return nir.Linear(weight=weights)
    return nir.Affine(weight=weights, bias=_finite(bias, f"{where}.bias"))


def _finite(x: Tensor, where: str) -> NDArray[Any]:
    if not bool(torch.isfinite(x).all()):
        raise ValueError(f"{where}: has NaN or Inf, expected finite values")
    return array(x)


def _ends(node: Any) -> tuple[int, int]:
    """How many values a node takes and gives."""
    ends = (next(iter(kind.values())) for kind in (node.input_type, node.output_type))
    taken, given = (int(np.asarray(shape)[-1]) for shape in ends)
    return taken, given


def _plasticity(where: str) -> ValueError:
    return refuse(
        where,
        "short-term plasticity (TsodyksMarkram)",
        "leave it out, or deploy this network with step",
    )
