"""`Neuron`: a `Process` that fires, and a ``snntorch.SpikingNeuron``."""

import inspect
from collections.abc import Callable
from typing import Any, ClassVar, Literal, Protocol, Self, TypedDict, cast

import torch
from snntorch import SpikingNeuron
from torch import Tensor

from phc_snn.axes import TimeAxis
from phc_snn.checks import check_features
from phc_snn.emit import Emit
from phc_snn.hidden import Hidden, teach_snntorch
from phc_snn.parameters import Value, per_neuron
from phc_snn.process import Process
from phc_snn.scan.reference import Number
from phc_snn.scan.reset import Fire, Reset, ResetMechanism
from phc_snn.surrogate import FastSigmoid, heaviside

teach_snntorch()


class Integrating(Protocol):
    """What `integrate` reads of a neuron's parameters."""

    @property
    def membrane_decay(self) -> Number: ...
    @property
    def threshold(self) -> Number: ...
    @property
    def emit(self) -> Fire: ...
    @property
    def reset(self) -> Reset: ...


def integrate(x: Tensor, membrane: Tensor, c: Integrating, time: TimeAxis) -> tuple[Tensor, Tensor]:
    """Voltage of a leaky membrane under input ``x``, and the last membrane, with the reset."""
    if c.reset.mechanism == "none":
        return time.recur(c.membrane_decay, x, membrane)
    return time.recur_and_reset(c.membrane_decay, x, c.threshold, membrane, c.emit, c.reset)


class NeuronOptions(TypedDict, total=False):
    """Keyword arguments that every neuron takes; see `Neuron`. Names and order are snnTorch's."""

    threshold: Value | None
    spike_grad: Callable[[Tensor], Tensor] | None
    surrogate_disable: bool
    init_hidden: bool
    inhibition: bool
    learn_threshold: bool
    reset_mechanism: ResetMechanism | None
    state_quant: Literal[False]
    output: bool
    reset_delay: bool
    reset_input: bool


class Neuron(Process, Hidden, SpikingNeuron):  # type: ignore[misc]  # snnTorch has no types
    """Base of all neuron models: ``step`` and ``scan`` return ``(spikes, voltage, state)``.

    The outputs of `dynamics` are the spikes (0 or 1) and the voltage that is compared with the
    threshold: a neuron fires where ``voltage > threshold``, strictly.

    As an snnTorch layer it is called as ``spk, *states = neuron(input_, *states)``, one step at a
    time; the states come in the order of the model's state tuple, the membrane potential last.

    Args:
        features: N, the number of neurons.
        threshold: Firing threshold, one value or N; None (default) for the model's own, 1 if its
            equations have none.
        spike_grad: A step at zero with a surrogate derivative, for example from
            ``snntorch.surrogate``; None (default) for the model's own, `phc_snn.FastSigmoid` if its
            equations have none. Models without spikes have `phc_snn.RectifiedTanh`. A delayed reset
            acts where the voltage is above the threshold, whatever this function gives.
        surrogate_disable: Use the bare step function, without any gradient.
        init_hidden: The layer keeps its own state and returns spikes only.
        inhibition: In each step only the neuron with the highest voltage above its threshold may
            fire. (It acts on the spikes that leave the layer, across all N; snnTorch warns that it
            is an unstable feature.)
        learn_threshold: Make the threshold a parameter.
        reset_mechanism: One of the model's; None (default) for its own: ``"none"``, or where its
            equations have a reset, that. `LIF` and `CubaLIF` also take ``"subtract"`` and
            ``"zero"``. snnTorch's default is ``"subtract"``.
        state_quant: False; a quantised state is no affine recurrence.
        output: With ``init_hidden``, return the states as well.
        reset_delay: The reset acts in the step after the spike and lets no gradient through
            (default, as snnTorch); False: in the step of the spike, with the surrogate's gradient.
            Models whose equations have a reset of their own say what it does.
        reset_input: ``reset_mechanism="zero"`` takes the input of the step after the spike too, as
            snnTorch's ``RLeaky``, ``Synaptic`` and ``RSynaptic`` do; its ``Leaky`` does not.
    """

    RESETS: ClassVar[tuple[str, ...]] = ("none",)
    """The mechanisms that the model can have; the first is its own."""
    SURROGATE: ClassVar[Any] = FastSigmoid()
    """Spike function of the model where none is given."""
    EXCITABLE: ClassVar[bool] = True
    """Strong positive input makes every neuron fire, negative input none. Not so where drawn
    coefficients decide which sign does what."""
    DRAWS: ClassVar[bool] = False
    """Its state holds random draws, and `initial_state` takes a ``generator`` for them."""
    SPONTANEOUS: ClassVar[bool] = False
    """It is active without input."""
    THRESHOLD: ClassVar[float] = 1.0
    """Of the model where none is given."""
    NETWORK: ClassVar[dict[str, Any]] = {}
    """First values in a `phc_snn.PHCSSM`, where they are not those of the model alone."""
    spike_grad: Callable[[Tensor], Tensor]
    threshold: Tensor
    init_hidden: bool
    inhibition: bool

    def __init__(
        self,
        features: int,
        *,
        threshold: Value | None = None,
        spike_grad: Callable[[Tensor], Tensor] | None = None,
        surrogate_disable: bool = False,
        init_hidden: bool = False,
        inhibition: bool = False,
        learn_threshold: bool = False,
        reset_mechanism: ResetMechanism | None = None,
        state_quant: Literal[False] = False,
        output: bool = False,
        reset_delay: bool = True,
        reset_input: bool = False,
    ) -> None:
        check_features(features)
        if state_quant is not False:
            raise ValueError(
                f"state_quant: got {state_quant!r}, expected False: a quantised state is no affine "
                "recurrence, so step and scan could not agree; quantise what the layer returns"
            )
        if reset_mechanism is None:
            reset_mechanism = cast(ResetMechanism, self.RESETS[0])
        if threshold is None:
            threshold = self.THRESHOLD
        rule = self._rule(reset_mechanism, reset_delay, reset_input)
        super().__init__(
            features,
            threshold=per_neuron("threshold", threshold, features).to(torch.get_default_dtype()),
            spike_grad=self.SURROGATE if spike_grad is None else spike_grad,
            surrogate_disable=surrogate_disable,
            init_hidden=init_hidden,
            inhibition=inhibition,
            learn_threshold=learn_threshold,
            reset_mechanism=reset_mechanism,
            output=output,
        )
        self.reset_rule = rule
        if len(self.RESETS) > 1:
            # snnTorch saves the mechanism; the rest of the rule has to be known as well.
            self.keep_option("reset_options", reset_delay, reset_input)
        if surrogate_disable:
            self.spike_grad = heaviside  # snnTorch's own returns float32 for any input
        # snnTorch keeps every neuron ever made in one list, so none is ever freed.
        SpikingNeuron.instances.remove(self)

    _options: tuple[str, ...] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Show `NeuronOptions` in the signature of each model, for ``help`` and editors."""
        super().__init_subclass__(**kwargs)
        own = list(inspect.signature(cls.__init__).parameters.values())[1:]
        if own and own[-1].kind is inspect.Parameter.VAR_KEYWORD:
            shared = inspect.signature(Neuron.__init__).parameters.values()
            defaults = {"threshold": cls.THRESHOLD, "reset_mechanism": cls.RESETS[0]}
            own = own[:-1] + [
                p.replace(default=defaults.get(p.name, p.default))
                for p in shared
                if p.kind is inspect.Parameter.KEYWORD_ONLY
            ]
        cls.__signature__ = inspect.Signature(own)

    @classmethod
    def _rule(cls, mechanism: ResetMechanism, delayed: bool, with_input: bool) -> Reset:
        if mechanism not in cls.RESETS:
            hint = ""
            if mechanism in ("subtract", "zero") and cls.RESETS == ("none",):
                hint = f"; {cls.__name__} has no reset, LIF and CubaLIF do"
            raise ValueError(
                f"reset_mechanism: got {mechanism!r}, expected one of {cls.RESETS}{hint}"
            )
        if len(cls.RESETS) == 1 and mechanism != "none" and not delayed:
            raise ValueError(
                f"reset_delay: got False, expected True: {cls.__name__} states its own reset, "
                "which acts in the step after the spike"
            )
        return Reset(mechanism, delayed, with_input)

    @classmethod
    def for_network(
        cls, features: int, *, generator: torch.Generator | None = None, **options: Any
    ) -> Self:
        """N neurons with the first values that a `phc_snn.PHCSSM` starts from.

        Args:
            features: N.
            generator: Source of what is drawn, if anything is.
            options: Of the model.
        """
        if "generator" in inspect.signature(cls).parameters:
            options["generator"] = generator
        return cls(features, **{"learn_threshold": True, **cls.NETWORK, **options})

    def drawn_state(self, batch_size: int, generator: torch.Generator | None, **where: Any) -> Any:
        """`initial_state`, what the model draws of it, if anything, by ``generator``."""
        if self.DRAWS:
            where["generator"] = generator
        return self.initial_state(batch_size, **where)

    @property
    def reset_mechanism(self) -> str:
        """What a spike does to the membrane."""
        return self.reset_rule.mechanism

    @reset_mechanism.setter
    def reset_mechanism(self, mechanism: ResetMechanism) -> None:
        rule = self.reset_rule
        self.reset_rule = self._rule(mechanism, rule.delayed, rule.with_input)
        value = SpikingNeuron.reset_dict[mechanism]
        self.reset_mechanism_val = torch.as_tensor(value, device=self.threshold.device)

    @property
    def emit(self) -> Emit:
        """Voltages minus thresholds (..., N) -> the spikes that leave the layer."""
        return Emit(self.spike_grad, self.inhibition)

    def forward(self, input_: Tensor, *states: Tensor | None) -> Any:
        """One step in snnTorch's calling convention.

        Args:
            input_: Input current (B, N), or (N,) for one sample without a batch, as is then all
                that comes back.
            states: The states that the last call returned; none, or None, to start at rest.

        Returns:
            ``(spk, *states)``; with ``init_hidden`` only ``spk``, unless ``output`` is set.

        Raises:
            TypeError: States passed although the layer keeps its own (``init_hidden=True``).
        """
        if input_.dim() == 1:
            batched = (s if s is None or s.shape[:1] == (0,) else s[None] for s in states)
            result = self.forward(input_[None], *batched)
            return result[0] if isinstance(result, Tensor) else tuple(r[0] for r in result)
        given = any(state is not None for state in states)
        state = self.carried(given, self.init_hidden, input_)
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

    @property
    def outputs(self) -> int:
        """How many tensors a call returns: spikes, and the states unless they are hidden."""
        states = len(self.initial_state(0)) if self.output or not self.init_hidden else 0
        return 1 + states

    def reset_mem(self) -> Any:
        """Forget the hidden state, and return states at rest to start a loop with.

        The returned states have batch size 0, which the next call takes as "at rest" for any batch.
        """
        super().reset_mem()
        states = self.initial_state(0, device=self.threshold.device, dtype=self.threshold.dtype)
        return states[0] if len(states) == 1 else tuple(states)

    def extra_repr(self) -> str:
        rule = self.reset_rule
        return f"{self.features}" + ("" if rule.mechanism == "none" else f", reset={rule}")

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        other = []
        for name in ("reset_mechanism_val", *self._options):
            saved, own = state_dict.get(prefix + name), getattr(self, name, None)
            if saved is None and name in self._options:
                state_dict[prefix + name] = own  # from before it was saved
            if saved is not None and own is not None and saved.tolist() != own.tolist():
                other.append(name)
        if other:
            named = ", ".join(prefix + name for name in other)
            kinds = " and ".join(dict.fromkeys(name.split("_")[0] for name in other))
            args[-1].append(
                f"{named}: the saved neuron has another {kinds} than this one, {self}; build the "
                f"module with the {kinds} that it was saved with"
            )
            return
        super()._load_from_state_dict(state_dict, prefix, *args)

    def keep_option(self, name: str, *numbers: int) -> None:
        """Save what equations hang on beside the parameters: another one refuses to be loaded.

        Args:
            name: What it is, and an ending: ``"reset_options"``.
            numbers: What it is set to.
        """
        self.register_buffer(name, torch.tensor(numbers))
        self._options = (*self._options, name)
