"""Parts of a model by their names, with the initial values that a `PHCSSM` has."""

import inspect
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch

from phc_snn import neurons as models
from phc_snn.neurons.base import Neuron
from phc_snn.synapses import Topology

TopologyName = Literal["feedforward", "bidirectional"]

NEURONS: dict[str, type[Neuron]] = {
    name.lower(): model
    for name, model in ((name, getattr(models, name)) for name in models.__all__)
    if issubclass(model, Neuron) and not inspect.isabstract(model)
}
"""Every neuron model by its name in lower case."""

# The names are those of the models that there are, which a type checker cannot know.
if TYPE_CHECKING:
    NeuronName = str
else:
    NeuronName = Literal[tuple(NEURONS)]


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
    """A neuron model by its name, in capitals or not.

    Raises:
        ValueError: Another name.
    """
    found = NEURONS.get(name.lower()) if isinstance(name, str) else None
    if found is None:
        raise ValueError(f"neuron: got {name!r}, expected one of {tuple(NEURONS)}")
    return found


def make_neuron(
    name: NeuronName, neurons: int, generator: torch.Generator | None = None, **options: Any
) -> Neuron:
    """A neuron by its name, with the initial values of a `PHCSSM`.

    Args:
        name: See `neuron_class`.
        neurons: N.
        generator: Source of what the model draws.
        options: Of the model.

    Raises:
        ValueError: Another name, or options that this model does not have.
    """
    model = neuron_class(name)
    unknown = [key for key in options if key not in inspect.signature(model).parameters]
    if unknown:
        raise ValueError(f"neuron: {name!r} has no {' and no '.join(unknown)}; take 'alif'")
    return model.for_network(neurons, generator=generator, **options)
