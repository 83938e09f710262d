"""Operations with the same bits wherever a value stands."""

import pytest
import torch

from phc_snn.numerics import erf, gaussian, gelu, linear, sigmoid, softmax, softplus, special
from phc_snn.numerics.elementary import FORMULAS
from phc_snn.numerics.product import linear_of_spikes
from tests.tolerances import assert_near, assert_same_bits

ELEMENTWISE = {
    "sigmoid": (sigmoid, torch.sigmoid),
    # torch's own softplus cuts off at 20, which costs digits in float64.
    "softplus": (softplus, lambda x: torch.logaddexp(x, torch.zeros_like(x))),
    "erf": (erf, torch.erf),
    "gaussian": (gaussian, lambda x: torch.exp(-x * x)),
    "gelu": (gelu, torch.nn.functional.gelu),
}


@pytest.fixture
def restore_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def values(dtype=torch.float32, shape=(13, 7, 11)):
    return (torch.randn(shape, dtype=torch.float64) * 6.0).to(dtype)


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
class TestElementwise:
    def test_bits_do_not_depend_on_the_position(self, name, dtype):
        function, _ = ELEMENTWISE[name]
        x = values(dtype)
        whole = function(x)
        assert_same_bits(torch.stack([function(x_t) for x_t in x]), whole)
        assert_same_bits(function(x.transpose(0, 2)).transpose(0, 2), whole)
        assert_same_bits(function(x.flatten()).reshape(x.shape), whole)
        assert_same_bits(torch.cat([function(part) for part in x.split([1, 4, 8])]), whole)
        single = torch.stack([function(v) for v in x.flatten()[:200]])
        assert_same_bits(single, whole.flatten()[:200])
        for offset in range(1, 9):  # vectors of the processor start elsewhere
            assert_same_bits(function(x.flatten()[offset:]), whole.flatten()[offset:])

    def test_bits_do_not_depend_on_the_threads(self, name, dtype, restore_threads):
        function, _ = ELEMENTWISE[name]
        x = values(dtype, (300, 11, 37))
        torch.set_num_threads(1)
        alone = function(x)
        torch.set_num_threads(2)
        assert_same_bits(function(x), alone)

    def test_accuracy(self, name, dtype):
        function, exact = ELEMENTWISE[name]
        x = torch.linspace(-30.0, 30.0, 5001, dtype=dtype)
        assert_near(function(x), exact(x.double()).to(dtype), 4 * torch.finfo(dtype).eps)

    def test_gradient(self, name, dtype):
        function, exact = ELEMENTWISE[name]
        x = torch.linspace(-20.0, 20.0, 400, dtype=dtype, requires_grad=True)
        (actual,) = torch.autograd.grad(function(x).sum(), x)
        (expected,) = torch.autograd.grad(exact(x.double()).sum(), x)
        assert_near(actual, expected, 1e-6 if dtype == torch.float32 else 1e-12)

    def test_far_out_values_and_gradients_are_finite(self, name, dtype):
        function, exact = ELEMENTWISE[name]
        x = torch.tensor([-1e4, -200.0, 200.0, 1e4, 0.0], dtype=dtype, requires_grad=True)
        y = function(x)
        (grad,) = torch.autograd.grad(y.sum(), x)
        assert bool(torch.isfinite(y).all())
        assert bool(torch.isfinite(grad).all())
        assert_near(y, exact(x.detach()))


def test_gradient_of_softplus_at_zero_is_half():
    x = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(softplus(x).sum(), x)
    assert_near(grad, torch.full((3,), 0.5, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (8, 8), (64, 64), (5, 33), (3, 200)])
class TestLinear:
    def problem(self, rows, columns, dtype):
        # Magnitudes that differ a lot, as weights and efficacies do.
        scale = torch.exp(2.0 * torch.randn(columns))
        x = (torch.randn(12, 4, columns) * scale).to(dtype)
        return x, torch.randn(rows, columns).to(dtype)

    def test_bits_do_not_depend_on_batch_time_or_order(self, rows, columns, dtype):
        x, weight = self.problem(rows, columns, dtype)
        whole = linear(x, weight)
        assert whole.dtype == dtype
        assert whole.shape == (12, 4, rows)
        assert_same_bits(torch.stack([linear(x_t, weight) for x_t in x]), whole)
        assert_same_bits(linear(x[3, 2], weight), whole[3, 2])
        assert_same_bits(torch.cat([linear(x[:, i : i + 1], weight) for i in range(4)], 1), whole)
        assert_same_bits(torch.cat([linear(part, weight) for part in x.split([1, 4, 7])]), whole)
        assert_same_bits(linear(x.transpose(0, 1), weight).transpose(0, 1), whole)
        assert_same_bits(linear(x.repeat(5, 3, 1), weight)[:12, :4], whole)
        order = torch.randperm(columns)
        assert_same_bits(linear(x[..., order], weight[:, order]), whole)
        assert_same_bits(linear(x, weight[:1]), whole[..., :1])

    def test_accuracy(self, rows, columns, dtype):
        """As good as an ordinary product, relative to the largest terms of the row."""
        x, weight = self.problem(rows, columns, dtype)
        exact = x.double() @ weight.double().T
        terms = x.double().abs().amax(-1, keepdim=True) * weight.double().abs().amax(1) * columns
        error = ((linear(x, weight).double() - exact).abs() / terms).max()
        assert float(error) <= 2 * torch.finfo(dtype).eps


def test_bits_of_linear_do_not_depend_on_the_threads(restore_threads):
    for dtype in (torch.float32, torch.float64):
        x, weight = torch.randn(500, 16, 64, dtype=dtype), torch.randn(64, 64, dtype=dtype)
        torch.set_num_threads(1)
        alone = linear(x, weight)
        torch.set_num_threads(2)
        assert_same_bits(linear(x, weight), alone)


def test_linear_of_exact_numbers_is_exact():
    x = torch.randint(-50, 50, (20, 32)).double()
    weight = torch.randint(-50, 50, (16, 32)).double()
    assert_same_bits(linear(x, weight), x @ weight.T)
    assert_same_bits(linear(x.float(), weight.float()), (x @ weight.T).float())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("columns", [1, 2, 3, 100, 20000])
def test_linear_of_spikes_has_no_order(dtype, columns):
    spikes = (torch.rand(5, columns) < 0.3).to(dtype)
    weight = torch.randn(7, columns, dtype=dtype) * 10.0 ** torch.randint(-6, 6, (7, 1))
    found = linear_of_spikes(spikes, weight)
    # Each row of the weights is on the grid of its own largest.
    scale = weight.abs().amax(1).double() * spikes.sum(1, keepdim=True).double().clamp(min=1)
    error = (found.double() - spikes.double() @ weight.double().T).abs() / scale
    assert float(error.max()) <= (1e-7 if dtype == torch.float32 else 1e-15)
    order = torch.randperm(columns)
    assert_same_bits(linear_of_spikes(spikes[:, order], weight[:, order]), found)
    assert_same_bits(linear_of_spikes(spikes[2:3], weight[4:]), found[2:3, 4:])
    assert found.dtype == dtype


def test_linear_of_zeros_and_of_nothing():
    assert not bool(linear(torch.zeros(3, 4), torch.randn(5, 4)).any())
    assert not bool(linear(torch.randn(3, 4), torch.zeros(5, 4)).any())
    assert linear(torch.zeros(0, 2, 4), torch.randn(5, 4)).shape == (0, 2, 5)
    assert linear(torch.zeros(7, 0, 4), torch.randn(5, 4)).shape == (7, 0, 5)


def test_linear_passes_nan_on():
    x = torch.tensor([[1.0, torch.nan], [1.0, 2.0]])
    y = linear(x, torch.ones(3, 2))
    assert bool(torch.isnan(y[0]).all())
    assert y[1].tolist() == [3.0, 3.0, 3.0]


def test_gradients_of_linear():
    x = torch.randn(3, 2, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(linear, (x, weight))
    torch.autograd.gradgradcheck(linear, (x, weight), fast_mode=True)


def test_each_gradient_of_linear_alone():
    x, weight = torch.randn(3, 4), torch.randn(5, 4)
    for wanted in (0, 1):
        inputs = [t.clone().requires_grad_(i == wanted) for i, t in enumerate((x, weight))]
        linear(*inputs).sum().backward()
        assert [t.grad is not None for t in inputs] == [i == wanted for i in (0, 1)]


@pytest.mark.parametrize(
    ("x", "w"), [(1e-150, 1.0), (1e300, 1e-200), (1e-300, 1e300), (1e307, 1.0)]
)
def test_linear_at_the_ends_of_float64(x, w):
    x = torch.tensor([[x, x / 3]], dtype=torch.float64)
    w = torch.tensor([[w, w]], dtype=torch.float64)
    torch.testing.assert_close(linear(x, w), x @ w.T, rtol=1e-14, atol=0.0)


@pytest.mark.parametrize("columns", [4096, 65536])
def test_linear_stays_as_accurate_as_a_product_for_many_columns(columns):
    x, w = torch.randn(3, columns), torch.randn(2, columns)
    exact = x.double() @ w.double().T
    error = (linear(x, w).double() - exact).abs().max()
    assert float(error) <= 1e-6 * float(exact.abs().max())


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # opcheck's own
@pytest.mark.parametrize(
    "name", ["tanh", "cos", "sin", "exp", "softplus", *(f"own_{f}" for f in FORMULAS)]
)
def test_special_functions_inside_a_compiled_graph(name):
    """The operation that stands there: torch's own bits, and the derivative."""
    opaque = torch.ops.phc_snn.special.default
    x = torch.rand(3, 5, dtype=torch.float64) + 0.1
    assert torch.equal(opaque(x, name), special(x, name))
    torch.autograd.gradcheck(lambda v: opaque(v, name), x.clone().requires_grad_())
    torch.library.opcheck(opaque, (x.clone().requires_grad_(), name))


@pytest.mark.parametrize("name", ["tanh", "cos", "sin", "exp", "softplus"])
def test_special_functions_in_single_precision_are_those_of_any_place(name):
    """torch's own have other bits at the end of a tensor, and on another machine."""
    x = 3.0 * torch.randn(10_007)
    whole = special(x, name)
    assert whole.dtype == torch.float32
    assert_same_bits(torch.stack([special(each, name) for each in x.unbind()]), whole)
    functions = {"softplus": torch.nn.functional.softplus}
    plain = functions.get(name) or getattr(torch, name)
    assert_same_bits(whole, plain(x.double()).float())
    assert not torch.equal(torch.stack([plain(each) for each in x.unbind()]), whole)
    x.requires_grad_()
    slopes = [
        torch.autograd.grad(function(x, name).sum(), x)[0]
        for function in (special, torch.ops.phc_snn.special.default)
    ]
    assert_near(*slopes, 1e-6)


def test_special_functions_are_those_of_real_numbers():
    with pytest.raises(TypeError, match=r"x: got torch\.complex64, expected real numbers"):
        special(torch.randn(5, dtype=torch.complex64), "exp")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("classes", [1, 2, 10, 35])
def test_softmax(dtype, classes, restore_threads):
    x = values(dtype, (13, 7, classes))
    whole = softmax(x)
    assert_near(whole, torch.softmax(x.double(), -1).to(dtype), 4 * torch.finfo(dtype).eps)
    assert_same_bits(torch.stack([softmax(x_t) for x_t in x]), whole)
    assert_same_bits(torch.cat([softmax(x[:, i : i + 1]) for i in range(7)], 1), whole)
    assert_same_bits(softmax(x.transpose(0, 1)).transpose(0, 1), whole)
    turned = x.transpose(0, 2).contiguous().transpose(0, 2)
    assert_same_bits(softmax(turned), whole)
    for threads in (1, 2):
        torch.set_num_threads(threads)
        assert_same_bits(softmax(x.repeat(40, 20, 1))[:13, :7], whole)


def test_softmax_far_out_and_its_gradient():
    x = torch.tensor([[0.0, -1e4], [800.0, 799.0]], dtype=torch.float64, requires_grad=True)
    y = softmax(x)
    assert_near(y, torch.softmax(x, -1))
    weight = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64)
    (grad,) = torch.autograd.grad((y * weight).sum(), x)
    (wanted,) = torch.autograd.grad((torch.softmax(x, -1) * weight).sum(), x)
    assert_near(grad, wanted)
    near = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(softmax, (near,))
    assert torch.autograd.gradgradcheck(softmax, (near,))
    assert softmax(torch.zeros(0, 3)).shape == (0, 3)
    assert softmax(near.bfloat16()).dtype == torch.bfloat16
