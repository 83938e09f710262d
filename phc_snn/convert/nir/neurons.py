"""Each neuron model in NIR's primitives, or the name of what they do not have."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from phc_snn.convert.nir.units import Array, array, tau_of
from phc_snn.emit import is_step
from phc_snn.extras import require
from phc_snn.neurons import ALIF, LIF, CubaLIF, Neuron
from phc_snn.state import tensors


@dataclass
class Part:
    """Nodes and edges that belong together.

    Attributes:
        nodes: NIR nodes by name.
        edges: Between them.
        first: Where input goes.
        last: Where output comes from.
    """

    nodes: dict[str, Any]
    edges: list[tuple[str, str]]
    first: str
    last: str


def refuse(where: str, feature: str, mend: str) -> ValueError:
    """The error for what NIR cannot hold."""
    return ValueError(f"{where}: NIR has no primitive for {feature}; {mend}")


def neuron_part(neuron: Neuron, dt: float, where: str) -> Part:
    """A neuron model in NIR's primitives.

    Args:
        neuron: `LIF`, `CubaLIF`, or `ALIF` without its adaptation.
        dt: Time step (s).
        where: Name of the neuron in error messages.

    Raises:
        ValueError: What NIR has no primitive for, by its name.
    """
    write = _WRITERS.get(type(neuron))
    if write is None:
        poles = tensors(neuron.coefficients(torch.get_default_dtype()))
        feature = "complex poles" if any(t.is_complex() for t in poles) else "its equations"
        raise refuse(
            f"{where} ({type(neuron).__name__})",
            feature,
            "what goes out is LIF, CubaLIF and ALIF without adaptation",
        )
    if neuron.inhibition:
        raise refuse(where, "inhibition across the layer", "build it with inhibition=False")
    if not is_step(neuron.spike_grad, neuron.threshold):
        raise refuse(
            where,
            "a spike_grad whose spikes are not H(voltage - threshold), as stochastic spikes",
            "use a surrogate that fires 1 above the threshold and 0 at it and below",
        )
    part = write(neuron, dt, where)
    if any(not np.isfinite(v).all() for node in part.nodes.values() for v in _numbers(node)):
        raise ValueError(f"{where}: a parameter is NaN or Inf; NIR takes finite values")
    return part


def _numbers(node: Any) -> list[Any]:
    return [v for v in vars(node).values() if isinstance(v, np.ndarray)]


def _reset(neuron: Neuron, where: str) -> str:
    """The reset mechanism, once it is one that a spike of the step before explains."""
    rule = neuron.reset_rule
    if rule.mechanism == "none":
        return "none"
    if bool((neuron.threshold < 0).any()):
        raise refuse(where, "a reset with a negative threshold", "use thresholds of at least 0")
    if rule.mechanism == "subtract" and not rule.delayed:
        raise refuse(
            where,
            "reset_mechanism='subtract' with reset_delay=False, which does not take from a "
            "membrane that is still above the threshold twice",
            "use reset_delay=True",
        )
    if rule.with_input and rule.delayed:
        raise refuse(
            where,
            "reset_input=True: a spike that takes the next input too",
            "build the neuron with reset_input=False, or (it comes from snnTorch) the layer with "
            "reset_delay=False",
        )
    return rule.mechanism


def _values(x: torch.Tensor) -> Array:
    return array(x).astype(np.float64)


def _lif(neuron: LIF, dt: float, where: str) -> Part:
    nir = require("nir", extra="export")
    decay, threshold = _values(neuron.membrane_decay), _values(neuron.threshold)
    mechanism, zero = _reset(neuron, where), np.zeros(neuron.features)
    if mechanism != "zero":
        return _fired(_integrator("membrane", decay, dt, where), threshold, mechanism)
    if bool((decay == 1.0).all()):
        node = nir.IF(r=zero + 1.0 / dt, v_threshold=threshold, v_reset=zero)
    else:
        _leaky(decay, where)
        # The membrane in units of its steady state under a unit of input: Norse takes r for 1
        # whatever it is, and snnTorch turns this back into r = tau / dt.
        node = nir.LIF(
            tau=tau_of(decay, dt),
            r=zero + 1.0,
            v_leak=zero,
            v_threshold=threshold * (1.0 - decay),
            v_reset=zero,
        )
    return Part({"lif": node}, [], "lif", "lif")


def _cuba_lif(neuron: CubaLIF, dt: float, where: str) -> Part:
    nir = require("nir", extra="export")
    synapse, membrane = _values(neuron.current_decay), _values(neuron.membrane_decay)
    threshold, mechanism = _values(neuron.threshold), _reset(neuron, where)
    if mechanism != "zero":
        # Two integrators: a reset that feeds back may not pass the synapse.
        fired = _fired(_integrator("membrane", membrane, dt, where), threshold, mechanism)
        current = _integrator("synapse", synapse, dt, where)
        edges = [("synapse", "membrane"), *fired.edges]
        return Part(current.nodes | fired.nodes, edges, "synapse", fired.last)
    for decay in (synapse, membrane):
        _leaky(decay, where)
    zero = np.zeros(neuron.features)
    tau_syn, tau_mem = tau_of(synapse, dt), tau_of(membrane, dt)
    node = nir.CubaLIF(
        tau_syn=tau_syn,
        tau_mem=tau_mem,
        r=tau_mem / dt,
        w_in=tau_syn / dt,
        v_leak=zero,
        v_threshold=threshold,
        v_reset=zero,
    )
    return Part({"lif": node}, [], "lif", "lif")


def _alif(neuron: ALIF, dt: float, where: str) -> Part:
    nir = require("nir", extra="export")
    if neuron.drive_transform == "softplus":
        raise refuse(where, "a softplus drive", "use drive_transform='identity'")
    if bool((neuron.adaptation_strength != 0).any()):
        raise refuse(
            where,
            "the adaptation, which follows sigmoid(V - v_th)",
            "only ALIF(adaptation_strength=0.0) goes out",
        )
    threshold = _values(neuron.threshold)
    suppression, strength = (
        _values(neuron.suppression_decay),
        _values(neuron.suppression_strength),
    )
    nodes = _integrator("membrane", _values(neuron.membrane_decay), dt, where).nodes
    nodes["crossing"] = nir.Threshold(threshold=threshold)
    nodes["suppression"] = _integrator("suppression", suppression, dt, where, -strength).nodes[
        "suppression"
    ]
    nodes["threshold"] = nir.Threshold(threshold=threshold.copy())
    edges = [("membrane", "crossing"), ("membrane", "threshold")]
    if neuron.refractory_lag == 1:
        nodes["lag"] = nir.Delay(delay=np.full(neuron.features, dt))
        edges += [("crossing", "lag"), ("lag", "suppression")]
    else:
        edges += [("crossing", "suppression")]
    return Part(nodes, [*edges, ("suppression", "threshold")], "membrane", "threshold")


def _integrator(name: str, decay: Array, dt: float, where: str, gain: float | Array = 1.0) -> Part:
    """``v = decay v + gain input``: r makes a unit of input a step of ``gain``."""
    nir = require("nir", extra="export")
    if bool((decay == 1.0).all()):
        node = nir.I(r=np.ones_like(decay) * gain / dt)
    else:
        _leaky(decay, where)
        tau = tau_of(decay, dt)
        node = nir.LI(tau=tau, r=gain * tau / dt, v_leak=np.zeros_like(tau))
    return Part({name: node}, [], name, name)


def _fired(membrane: Part, threshold: Array, mechanism: str) -> Part:
    """A membrane that fires, and loses the threshold in the next step if its reset subtracts."""
    nir = require("nir", extra="export")
    nodes = membrane.nodes | {"threshold": nir.Threshold(threshold=threshold)}
    edges = [(membrane.last, "threshold")]
    if mechanism == "subtract":
        nodes["reset"] = nir.Scale(scale=-threshold)
        edges += [("threshold", "reset"), ("reset", membrane.first)]
    return Part(nodes, edges, membrane.first, "threshold")


def _leaky(decay: Array, where: str) -> None:
    if bool((decay == 1.0).any()):
        raise refuse(
            where,
            "a decay of 1 beside others below it: an infinite time constant",
            "give all neurons of the layer a decay below 1, or (LIF) all a decay of 1",
        )


_WRITERS: dict[type[Neuron], Callable[[Any, float, str], Part]] = {
    LIF: _lif,
    CubaLIF: _cuba_lif,
    ALIF: _alif,
}
