"""One healthy leaky integrator, and variants of it that break one promise each."""

import copy
from typing import NamedTuple

import torch
from torch import nn

import phc_snn as phc
from phc_snn.axes import OneStep
from phc_snn.process import Process


class TraceState(NamedTuple):
    trace: torch.Tensor


class Healthy(Process):
    """``h[t] = decay h[t-1] + x[t]``; keeps every promise."""

    def __init__(self, features=5):
        super().__init__(features)
        self.raw_decay = nn.Parameter(torch.linspace(-1.0, 2.0, features))

    def initial_state(self, batch_size, *, device=None, dtype=None):
        return TraceState(torch.zeros(batch_size, self.features, device=device, dtype=dtype))

    def coefficients(self, dtype):
        return torch.sigmoid(self.raw_decay).to(dtype)

    def dynamics(self, x, state, c, time):
        trace, last = time.recur(c, x, state.trace)
        return (trace,), TraceState(last)


class NeverSpikes(phc.LIF):
    def dynamics(self, x, state, c, time):
        (spikes, voltage), state = super().dynamics(x, state, c, time)
        return (spikes * 0.0, voltage), state


class FiresWithoutInput(phc.LIF):
    def dynamics(self, x, state, c, time):
        (spikes, voltage), state = super().dynamics(x, state, c, time)
        return (spikes * 0.0 + 1.0, voltage), state


class NeverDecays(Healthy):
    def coefficients(self, dtype):
        return torch.ones(self.features, dtype=dtype) + 0.0 * self.raw_decay


class IgnoresTime(Healthy):
    def dynamics(self, x, state, c, time):
        return (x * c,), state


class IgnoresState(Healthy):
    def dynamics(self, x, state, c, time):
        return super().dynamics(x, TraceState(torch.zeros_like(state.trace)), c, time)


class LooksAhead(Healthy):
    def dynamics(self, x, state, c, time):
        (trace,), state = super().dynamics(x, state, c, time)
        if not isinstance(time, OneStep) and len(x):
            trace = trace + torch.cat([x[1:], x[-1:]])
        return (trace,), state


class StepsAnotherWay(Healthy):
    def dynamics(self, x, state, c, time):
        if isinstance(time, OneStep):  # the same mathematics, other roundings
            trace = x - (0.0 - c) * state.trace * 3.0 / 3.0
            return (trace,), TraceState(trace)
        return super().dynamics(x, state, c, time)


class ReturnsEarlierState(Healthy):
    def dynamics(self, x, state, c, time):
        (trace,), after = super().dynamics(x, state, c, time)
        late = not isinstance(time, OneStep) and len(x) > 1
        return (trace,), TraceState(trace[-2]) if late else after


class MixesNeurons(Healthy):
    def dynamics(self, x, state, c, time):
        return super().dynamics(x + x.mean(-1, keepdim=True), state, c, time)


class FavoursANeuron(Healthy):
    def dynamics(self, x, state, c, time):
        return super().dynamics(x * torch.arange(1, 6), state, c, time)


class CentresTheBatch(Healthy):
    def dynamics(self, x, state, c, time):
        return super().dynamics(x - x.mean(-2, keepdim=True), state, c, time)


class AddsASample(Healthy):
    def dynamics(self, x, state, c, time):
        (trace,), state = super().dynamics(x, state, c, time)
        return (trace if trace.shape[-2] else trace.new_zeros(*trace.shape[:-2], 1, 5),), state


class DropsDtype(Healthy):
    def dynamics(self, x, state, c, time):
        (trace,), state = super().dynamics(x, state, c, time)
        return (trace.float(),), state


class RoundsToFloat32(Healthy):
    def dynamics(self, x, state, c, time):
        return super().dynamics(x.float().to(x.dtype), state, c, time)


class CutsTheGraph(Healthy):
    def dynamics(self, x, state, c, time):
        (trace,), state = super().dynamics(x, state, c, time)
        return (trace.detach(),), TraceState(state.trace.detach())


class LeaksTheFutureIntoGradients(Healthy):
    def dynamics(self, x, state, c, time):
        (trace,), state = super().dynamics(x, state, c, time)
        return (trace + 0.0 * x.sum(),) if isinstance(time, OneStep) else (
            trace + x.sum(0) - x.sum(0).detach(),
        ), state


class _Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return 2.0 * grad


class HasAWrongDerivative(Healthy):
    def dynamics(self, x, state, c, time):
        return super().dynamics(_Doubled.apply(x), state, c, time)


class TruncatesStepGradients(Healthy):
    def dynamics(self, x, state, c, time):
        if isinstance(time, OneStep):
            state = TraceState(state.trace.detach())
        return super().dynamics(x, state, c, time)


class HasADeadParameter(Healthy):
    def coefficients(self, dtype):
        return torch.full((self.features,), 0.5, dtype=dtype)


class ChangesStateInPlace(Healthy):
    def dynamics(self, x, state, c, time):
        outputs, after = super().dynamics(x, state, c, time)
        state.trace.mul_(0.5)
        return outputs, after


class RemembersInItself(Healthy):
    memory = 0.0

    def dynamics(self, x, state, c, time):
        (trace,), state = super().dynamics(x, state, c, time)
        self.memory = self.memory + 1.0
        return (trace + self.memory,), state


class ForgetsOnEmptyInput(Healthy):
    def dynamics(self, x, state, c, time):
        outputs, after = super().dynamics(x, state, c, time)
        return outputs, after if len(x) else TraceState(torch.zeros_like(state.trace))


class FailsOnLongInput(Healthy):
    def dynamics(self, x, state, c, time):
        (trace,), state = super().dynamics(x, state, c, time)
        long = not isinstance(time, OneStep) and len(x) > 1000
        return (trace * torch.inf if long else trace,), state


class DependsOnMemoryLayout(Healthy):
    def dynamics(self, x, state, c, time):
        (trace,), state = super().dynamics(x, state, c, time)
        return (trace if x.is_contiguous() else trace + 1.0,), state


class HasAnInexactBackend(Healthy):
    def dynamics(self, x, state, c, time):
        (trace,), state = super().dynamics(x, state, c, time)
        inexact = getattr(time, "backend", None) == "associative"
        return (trace + 1e-6 if inexact else trace,), state


class IsNotSaved(Healthy):
    def state_dict(self, *args, **kwargs):
        return {}

    def load_state_dict(self, *args, **kwargs):
        return None


class PairState(NamedTuple):
    trace: torch.Tensor
    other: torch.Tensor


class SharesMemoryAtRest(Healthy):
    def initial_state(self, batch_size, *, device=None, dtype=None):
        zeros = torch.zeros(batch_size, self.features, device=device, dtype=dtype)
        return PairState(zeros, zeros)


class DoesNotPickle(Healthy):
    def __init__(self):
        super().__init__()
        self.transform = lambda x: x


class SharesItsCopies(Healthy):
    def __deepcopy__(self, memo):
        return self


class CopiesIncompletely(Healthy):
    def __deepcopy__(self, memo):
        fresh = Healthy(self.features)
        fresh.raw_decay.data = copy.copy(self.raw_decay.data) + 1.0
        return fresh


class KeepsTheStateItself(Healthy):
    """The state that it returns is empty talk; the real one stays inside."""

    inner = None

    def dynamics(self, x, state, c, time):
        if self.inner is None or self.inner.trace.shape != state.trace.shape:
            self.inner = state
        outputs, self.inner = super().dynamics(x, self.inner, c, time)
        return outputs, state

    def __getstate__(self):
        return {**self.__dict__, "inner": None}


class TakesAnything(Healthy):
    def _run(self, x, state, time):
        x = torch.as_tensor(x).double()
        resting = self.initial_state(x.shape[-2], dtype=x.dtype)
        outputs, state = self.dynamics(x, state or resting, self.coefficients(x.dtype), time)
        return (*outputs, state)
