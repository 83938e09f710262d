"""Forward and backward take time in proportion to the length of the sequence."""

import pytest
import torch

import phc_snn as phc
from phc_snn.scan import affine_scan
from tests.builders import currents, make_network
from tests.timing import assert_linear

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("backend", ["numba", "associative", "reference"])
def test_scan(backend):
    def prepare(length):
        a = torch.full((64,), 0.9, requires_grad=True)
        b = torch.randn(length, 64, requires_grad=True)
        return lambda: affine_scan(a, b, backend=backend).sum().backward()

    assert_linear(prepare, 250 if backend == "reference" else 2000)


@pytest.mark.parametrize("mode", ["solver", "step"])
def test_network_step_by_step(mode):
    network = make_network(dtype=torch.float32)

    def prepare(length):
        x = currents(network, length).requires_grad_()

        def run():
            if mode == "solver":
                network(x, solver=phc.Sequential()).voltage.sum().backward()
                return
            state, total = None, 0.0
            for x_t in x.unbind(0):
                _, voltage, state = network.step(x_t, state)
                total = total + voltage.sum()
            total.backward()

        return run

    assert_linear(prepare, 40)


@pytest.mark.parametrize("make", [phc.ALIF, phc.TsodyksMarkram])
@pytest.mark.parametrize("mode", ["step", "scan"])
def test_process(make, mode):
    process = make(16)

    def prepare(length):
        x = torch.rand(length, 2, 16, requires_grad=True)

        def run():
            if mode == "scan":
                process.scan(x)[0].sum().backward()
                return
            state, total = None, 0.0
            for x_t in x.unbind(0):
                *outputs, state = process.step(x_t, state)
                total = total + outputs[0].sum()
            total.backward()

        return run

    assert_linear(prepare, 60 if mode == "step" else 2000)


def test_the_measurement_sees_quadratic_growth():
    with pytest.raises(AssertionError, match="doubling the length takes"):
        assert_linear(lambda length: lambda: sum(range(length * length)), 200)
