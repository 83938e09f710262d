"""Neurons in a NIR graph: the nodes that together are one of our models."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from phc_snn.convert.nir.units import Array, decay_of, steps_of
from phc_snn.convert.nir.wiring import Wiring
from phc_snn.neurons import ALIF, LIF, CubaLIF, Neuron

_INTEGRATORS = ("LI", "I", "CubaLI")


@dataclass(frozen=True)
class Unit:
    """One layer of neurons.

    Attributes:
        first: The node that takes its input.
        last: The node that gives its spikes; the unit goes by this name.
        body: All its nodes.
        build: The module, for N neurons.
    """

    first: str
    last: str
    body: frozenset[str]
    build: Callable[[int], Neuron]


def find_units(wiring: Wiring, dt: float) -> dict[str, Unit]:
    """Every neuron of a graph, by its last node.

    Raises:
        ValueError: A neuron whose inner values are used outside of it.
    """
    adaptive = [_suppressed(wiring, name, dt) for name in wiring.named("Threshold")]
    units = [unit for unit in adaptive if unit is not None]
    taken = frozenset().union(*(unit.body for unit in units))
    fired = [name for name in wiring.named("Threshold") if name not in taken]
    units += [_fired(wiring, name, dt) for name in fired]
    units += [_complete(wiring, name, dt) for name in wiring.named("LIF", "IF", "CubaLIF")]
    for unit in units:
        _check_closed(wiring, unit)
    return {unit.last: unit for unit in units}


def _check_closed(wiring: Wiring, unit: Unit) -> None:
    for name in sorted(unit.body):
        for target in wiring.targets(name):
            if target not in unit.body and name != unit.last:
                raise ValueError(
                    f"{wiring.label(name)}: feeds {target!r}, expected only its neuron, which ends "
                    f"in {unit.last!r}: a membrane that is read outside has no module here"
                )
        for source in wiring.sources(name):
            if source not in unit.body and name != unit.first:
                raise ValueError(
                    f"{wiring.label(name)}: is fed by {source!r}, expected only its neuron, which "
                    f"begins with {unit.first!r}"
                )


def _complete(wiring: Wiring, name: str, dt: float) -> Unit:
    """A neuron that is one node, with its reset to zero."""
    read = _Node(wiring, name, dt)
    read.expect_zero("v_reset", "a reset to zero")

    def build(features: int) -> Neuron:
        threshold = read("v_threshold", features)
        if read.kind == "CubaLIF":
            synapse, membrane, gain = read.cuba(features)
            return read.make(
                CubaLIF,
                features,
                current_decay=synapse,
                membrane_decay=membrane,
                threshold=threshold / gain,
                reset_mechanism="zero",
            )
        decay, gain = read.leak(features)
        return read.make(
            LIF,
            features,
            membrane_decay=decay,
            threshold=threshold / gain,
            reset_mechanism="zero",
        )

    return Unit(name, name, frozenset({name}), build)


def _fired(wiring: Wiring, name: str, dt: float) -> Unit:
    """A threshold, the integrators before it, and a reset by subtraction if there is one."""
    fire = _Node(wiring, name, dt)
    sources = wiring.sources(name)
    if len(sources) != 1 or wiring.kind(sources[0]) not in _INTEGRATORS:
        # Nothing is integrated: a membrane that forgets at once.
        def instant(features: int) -> Neuron:
            threshold = fire("threshold", features)
            return fire.make(LIF, features, membrane_decay=0.0, threshold=threshold)

        return Unit(name, name, frozenset({name}), instant)
    membrane = sources[0]
    fed_back = [
        key
        for key in wiring.targets(name)
        if wiring.kind(key) == "Scale" and wiring.targets(key) == [membrane]
    ]
    integrate = _Node(wiring, membrane, dt)
    # A scale that takes the threshold is the reset; any other is a weight of each neuron to itself.
    reset = next((key for key in fed_back if _subtracts(wiring, key, fire, integrate)), None)
    outside = [key for key in wiring.sources(membrane) if key != reset]
    synapse = None
    if wiring.kind(membrane) != "CubaLI" and len(outside) == 1 and wiring.kind(outside[0]) == "LI":
        synapse = _Node(wiring, outside[0], dt)
    mechanism = "none" if reset is None else "subtract"

    def build(features: int) -> Neuron:
        threshold = fire("threshold", features)
        if integrate.kind == "CubaLI":
            current, decay, gain = integrate.cuba(features)
        else:
            decay, gain = integrate.leak(features)
            if synapse is None:
                return fire.make(
                    LIF,
                    features,
                    membrane_decay=decay,
                    threshold=threshold / gain,
                    reset_mechanism=mechanism,
                )
            current, before = synapse.leak(features)
            gain = gain * before
        return fire.make(
            CubaLIF,
            features,
            current_decay=current,
            membrane_decay=decay,
            threshold=threshold / gain,
            reset_mechanism=mechanism,
        )

    first = membrane if synapse is None else synapse.name
    body = {name, membrane, first} | ({reset} if reset else set())
    return Unit(first, name, frozenset(body), build)


def _subtracts(wiring: Wiring, name: str, fire: "_Node", integrate: "_Node") -> bool:
    """Whether a scale from the spike to the membrane takes just the threshold away."""
    if integrate.kind == "CubaLI":
        return False  # what is fed back passes the synapse
    scale = np.atleast_1d(_numbers(wiring.nodes[name].scale))
    features = scale.size
    _, gain = integrate.leak(features)
    return bool(np.allclose(scale * gain, -fire("threshold", features), rtol=1e-6, atol=0.0))


def _suppressed(wiring: Wiring, name: str, dt: float) -> Unit | None:
    """`ALIF` without adaptation: a crossing of the threshold suppresses the membrane's voltage."""
    sources = wiring.sources(name)
    if len(sources) != 2:
        return None
    for membrane, suppression in (sources, sources[::-1]):
        behind = wiring.sources(suppression)
        lag = behind[0] if len(behind) == 1 and wiring.kind(behind[0]) == "Delay" else None
        crossing = wiring.sources(lag) if lag else behind
        if (
            wiring.kind(membrane) in ("LI", "I")
            and wiring.kind(suppression) == "LI"
            and len(crossing) == 1
            and wiring.kind(crossing[0]) == "Threshold"
            and wiring.sources(crossing[0]) == [membrane]
        ):
            body = {name, membrane, suppression, crossing[0]} | ({lag} if lag else set())
            build = _alif(
                _Node(wiring, membrane, dt),
                _Node(wiring, suppression, dt),
                _Node(wiring, crossing[0], dt),
                _Node(wiring, name, dt),
                _Node(wiring, lag, dt) if lag else None,
            )
            return Unit(membrane, name, frozenset(body), build)
    return None


def _alif(
    membrane: "_Node",
    suppression: "_Node",
    crossing: "_Node",
    fire: "_Node",
    lag: "_Node | None",
) -> Callable[[int], Neuron]:
    def build(features: int) -> Neuron:
        threshold = fire("threshold", features)
        if not np.array_equal(threshold, crossing("threshold", features)):
            raise ValueError(f"{crossing.label}: threshold differs from that of {fire.name!r}")
        if lag is not None and set(steps_of(lag("delay", features), lag.dt)) != {1}:
            raise ValueError(f"{lag.label}: expected a delay of one step inside a neuron")
        decay, gain = membrane.leak(features)
        suppression_decay, strength = suppression.leak(features, sign=-1.0)
        return fire.make(
            ALIF,
            features,
            membrane_decay=decay,
            adaptation_strength=0.0,
            suppression_decay=suppression_decay,
            suppression_strength=strength / gain,
            refractory_lag=0 if lag is None else 1,
            threshold=threshold / gain,
        )

    return build


class _Node:
    """The parameters of a node, checked as they are read."""

    def __init__(self, wiring: Wiring, name: str, dt: float) -> None:
        self.node = wiring.nodes[name]
        self.name, self.kind, self.label, self.dt = name, wiring.kind(name), wiring.label(name), dt
        if hasattr(self.node, "v_leak"):
            self.expect_zero("v_leak", "a membrane that leaks to zero")

    def __call__(self, field: str, features: int) -> Array:
        return read(self.node, self.label, field, features)

    def expect_zero(self, field: str, meaning: str) -> None:
        value = _numbers(getattr(self.node, field))
        if not bool((value == 0).all()):
            raise ValueError(
                f"{self.label}: {field} has {value.reshape(-1)[value.reshape(-1) != 0][0]:g}, "
                f"expected 0: our neurons have {meaning}"
            )

    def leak(self, features: int, sign: float = 1.0) -> tuple[Array, Array]:
        """Factor per step, and what a unit of input adds in its step, of an integrator."""
        if self.kind in ("I", "IF"):
            decay, gain = np.ones(features), self.dt * self("r", features)
        else:
            decay = self._decay("tau", features)
            gain = (1.0 - decay) * self("r", features)
        return decay, self._positive(sign * gain, allow_zero=sign < 0)

    def cuba(self, features: int) -> tuple[Array, Array, Array]:
        """Factors per step of synapse and membrane, and what a unit of input adds at last."""
        synapse, membrane = self._decay("tau_syn", features), self._decay("tau_mem", features)
        gain = (1 - synapse) * self("w_in", features) * (1 - membrane) * self("r", features)
        return synapse, membrane, self._positive(gain)

    def make(self, model: type[Neuron], features: int, **parameters: Any) -> Neuron:
        try:
            return model(features, **parameters)
        except ValueError as error:
            raise ValueError(f"{self.label}: {error}") from error

    def _decay(self, field: str, features: int) -> Array:
        try:
            return decay_of(self(field, features), self.dt)
        except ValueError as error:
            raise ValueError(f"{self.label}: {error}") from error

    def _positive(self, gain: Array, allow_zero: bool = False) -> Array:
        if not bool((gain >= 0).all() if allow_zero else (gain > 0).all()):
            raise ValueError(
                f"{self.label}: a unit of input adds {gain.min():g} to the membrane in its step, "
                "expected more than 0 (r and w_in above 0)"
            )
        return gain


def _numbers(value: Any) -> Array:
    """As float64; Norse and snnTorch leave tensors in their graphs."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    return np.asarray(value, dtype=np.float64)


def read(node: Any, label: str, field: str, features: int) -> Array:
    """A parameter as N values.

    Raises:
        ValueError: Another number of values, NaN, or Inf.
    """
    value = _numbers(getattr(node, field))
    if value.size not in (1, features):
        raise ValueError(
            f"{label}: {field} has shape {value.shape}, expected one value or {features}, as many "
            "as its input has"
        )
    if not bool(np.isfinite(value).all()):
        raise ValueError(f"{label}: {field} has NaN or Inf, expected finite values")
    return np.broadcast_to(value.reshape(-1), (features,)).copy()
