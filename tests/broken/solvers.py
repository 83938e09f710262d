"""Solvers that break one promise each."""

from dataclasses import replace

import torch

from phc_snn.axes import WholeSequence
from phc_snn.solution import PHCState
from phc_snn.solvers import Exact, Jacobi, Sequential, Solver
from phc_snn.state import map_state


class Wrapped(Solver):
    """Changes the result of a sound solver."""

    inner = Jacobi(3)

    def solve(self, circuit, x_seq, state):
        return self.change(self.inner.solve(circuit, x_seq, state), x_seq, state)

    def change(self, solution, x_seq, state):
        return solution


class ClaimsAfterOneSweep(Wrapped):
    inner = Jacobi(1)

    def change(self, solution, x_seq, state):
        everything = torch.full_like(solution.certified_steps, len(x_seq))
        return replace(
            solution, certified_steps=everything, converged=torch.ones_like(solution.converged)
        )


class ClaimsOneStepTooMany(Wrapped):
    inner = Jacobi(2)

    def change(self, solution, x_seq, state):
        one_more = (solution.certified_steps + 3).clamp(max=len(x_seq))
        return replace(solution, certified_steps=one_more)


class ClaimsWithoutTheState(Wrapped):
    inner = Sequential()

    def change(self, solution, x_seq, state):
        return replace(solution, state=map_state(lambda s: s + 1.0, solution.state))


class CentresTheBatch(Solver):
    def solve(self, circuit, x_seq, state):
        centred = x_seq - x_seq.mean(1, keepdim=True)
        return Jacobi(3).solve(circuit, centred, state)


class StopsWithTheWholeBatch(Solver):
    """The Cauchy criterion over the batch instead of for each sample."""

    def solve(self, circuit, x_seq, state):
        for sweeps in range(1, 40):
            solution = Jacobi(sweeps).solve(circuit, x_seq, state)
            if bool((solution.residuals[-1] < 0.2).all()):
                break
        return solution


class ChangesTheStateInPlace(Wrapped):
    def change(self, solution, x_seq, state):
        state.neuron.membrane.mul_(0.5)
        return solution


class NeverTwiceTheSame(Solver):
    sweeps = 0

    def solve(self, circuit, x_seq, state):
        self.sweeps += 1
        return Jacobi(self.sweeps).solve(circuit, x_seq, state)


class ForgetsOnEmptyInput(Wrapped):
    inner = Sequential()

    def change(self, solution, x_seq, state):
        kept = solution.state if len(x_seq) else map_state(torch.ones_like, solution.state)
        return replace(solution, state=kept)


class AddsASample(Wrapped):
    def change(self, solution, x_seq, state):
        if x_seq.shape[1]:
            return solution
        return replace(solution, sweeps=torch.ones(1, dtype=torch.int64))


class CountsForTheWholeBatch(Wrapped):
    def change(self, solution, x_seq, state):
        return replace(solution, sweeps=solution.sweeps.max())


class CountsHalfOfItsWork(Wrapped):
    inner = Sequential()

    def change(self, solution, x_seq, state):
        return replace(solution, work=solution.work / 2)


class ReturnsTheNextCurrent(Wrapped):
    inner = Jacobi(2)

    def change(self, solution, x_seq, state):
        return replace(solution, current=solution.current + 1e-3)


class IsRandom(Solver):
    def solve(self, circuit, x_seq, state):
        noisy = x_seq + torch.randn_like(x_seq)
        return Jacobi(2).solve(circuit, noisy, state)


class CarriesStateFromSweepToSweep(Solver):
    """Each sweep starts where the last one ended, which is not causal."""

    def solve(self, circuit, x_seq, state):
        solution = Jacobi(1).solve(circuit, x_seq, state)
        for _ in range(4):
            solution = Jacobi(1).solve(circuit, x_seq, solution.state)
        return replace(solution, certified_steps=torch.zeros_like(solution.certified_steps))


class IgnoresTheState(Solver):
    def solve(self, circuit, x_seq, state):
        return Exact().solve(circuit, x_seq, map_state(torch.zeros_like, state))


class CutsTheLoopFromTheGraph(Solver):
    """The right result, with the gradient of a single sweep."""

    def solve(self, circuit, x_seq, state):
        with torch.no_grad():
            solution = Sequential().solve(circuit, x_seq, state)
        time = WholeSequence()
        driven = circuit.drive * x_seq
        current = solution.current + (driven - driven.detach())
        spikes, voltage, neuron = circuit.fire(current, state, time)
        _, synapses = circuit.transmit(spikes, state, time)
        return replace(
            solution,
            spikes=spikes,
            voltage=voltage,
            current=current,
            state=PHCState(neuron, synapses),
        )
