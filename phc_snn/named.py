"""Parts of a model by their names, with the initial values that a `PHCSSM` has."""

import inspect
from typing import Literal, get_args

from phc_snn import neurons as models
from phc_snn.neurons import ALIF, LIF
from phc_snn.neurons.alif import DriveTransform
from phc_snn.neurons.base import Neuron
from phc_snn.synapses import Topology

TopologyName = Literal["feedforward", "bidirectional"]
NeuronName = Literal["alif", "lif"]


def make_topology(topology: TopologyName | Topology, neurons: int, *, regions: int = 2) -> Topology:
    """A topology by its name, in so many regions; one that is there already is checked.

    Raises:
        ValueError: Another name, or a topology of another number of neurons.
    """
    if isinstance(topology, Topology):
        if topology.features != neurons:
            raise ValueError(
                f"topology: has {topology.features} neurons, expected neurons={neurons}"
            )
        return topology
    if topology not in get_args(TopologyName):
        raise ValueError(
            f"topology: got {topology!r}, expected one of {get_args(TopologyName)} or a Topology"
        )
    make = Topology.feedforward if topology == "feedforward" else Topology.bidirectional
    return make(neurons, regions=regions)


def neuron_class(name: str) -> type[Neuron]:
    """The neuron model of this name, whatever its letters' case: ``"silif"`` is `SiLIF`.

    Raises:
        ValueError: No model of `phc_snn.neurons` has this name.

    Example:
        >>> neuron_class("silif").__name__
        'SiLIF'
    """
    exported: list[type] = [getattr(models, each) for each in models.__all__]
    known = {
        model.__name__.lower(): model
        for model in exported
        if issubclass(model, Neuron) and not inspect.isabstract(model)
    }
    if not isinstance(name, str) or name.lower() not in known:
        names = ", ".join(repr(key) for key in sorted(known))
        raise ValueError(f"neuron: got {name!r}, expected one of {names}")
    return known[name.lower()]


def make_neuron(
    name: NeuronName,
    neurons: int,
    refractory_lag: Literal[0, 1] = 0,
    drive_transform: DriveTransform = "identity",
) -> Neuron:
    """A neuron by its name, with the initial values of a `PHCSSM`.

    Raises:
        ValueError: Another name, or options of ``"alif"`` for another one.
    """
    if name == "alif":
        # A softplus drive is never negative and its adaptation is not scaled: another start.
        published = drive_transform == "softplus"
        return ALIF(
            neurons,
            refractory_lag=refractory_lag,
            drive_transform=drive_transform,
            adaptation_strength=0.05 if published else 1.0,
            threshold=1.7 if published else 0.5,
            learn_threshold=True,
        )
    if name != "lif":
        raise ValueError(f"neuron: got {name!r}, expected one of {get_args(NeuronName)}")
    if refractory_lag or drive_transform != "identity":
        raise ValueError("neuron: 'lif' has no refractory_lag and no drive_transform; take 'alif'")
    return LIF(neurons, membrane_decay=0.7, threshold=0.5, learn_threshold=True)
