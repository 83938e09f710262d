"""Train a network on, step by step, after few sweeps have trained it in parallel."""

from typing import TYPE_CHECKING

from torch import Tensor

from phc_snn.checks import check_positive
from phc_snn.models import PHCSSM
from phc_snn.solvers import Sequential

if TYPE_CHECKING:
    from phc_snn.training.result import TrainingResult


def finetune_sequential(
    model: PHCSSM,
    x: Tensor,
    labels: Tensor,
    *,
    epochs: int = 20,
    batch_size: int = 20,
    learning_rate: float = 2e-3,
    device: str = "cpu",
    seed: int = 0,
) -> "TrainingResult":
    """Train ``model`` on, in place, with `Sequential`: the network as it will be deployed.

    The parallel training is the start, and a few epochs of backpropagation through time adapt the
    weights to what the deployed network really does. `Exact` needs no such bridge: it trains that
    network from the first step on. The model's own solver is the same afterwards.

    Args:
        model: Trained in place; on the CPU and in evaluation mode at the end.
        x: (samples, T, channels), scaled as in the training before.
        labels: (samples,) class numbers.
        epochs: Default 20.
        batch_size: Default 20.
        learning_rate: Of Adam at the start, falling to zero as a cosine. Default 2e-3.
        device: ``"cpu"``, ``"cuda"`` or ``"auto"``.
        seed: Of the order of the samples.

    Returns:
        How the training ended; Ctrl-C ends it after the step under way.

    Raises:
        MissingExtraError: Lightning is not installed (extra ``train``).
        TypeError: A model that is no `PHCSSM`.
        ValueError: Data whose shapes do not fit, or a number outside its range.

    Example:
        >>> import torch, phc_snn as phc
        >>> model = phc.PHCSSM(6, 4, neurons=16)
        >>> x, labels = torch.randn(40, 50, 6), torch.arange(40) % 4
        >>> result = phc.finetune_sequential(model, x, labels)  # doctest: +SKIP
    """
    if not isinstance(model, PHCSSM):
        raise TypeError(f"model: got {type(model).__name__}, expected a PHCSSM")
    check_samples("x", x, "labels", labels, model)
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        check_positive(name, value)
    if not learning_rate > 0:
        raise ValueError(f"learning_rate: got {learning_rate}, expected a positive number")

    from phc_snn.training.lightning import fit

    own, model.network.solver = model.network.solver, Sequential()
    try:
        return fit(
            model.train(),
            x,
            labels,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            device=device,
            seed=seed,
        )
    finally:
        model.network.solver = own
        model.eval()


def check_samples(name: str, x: Tensor, label_name: str, labels: Tensor, model: PHCSSM) -> None:
    """Refuse samples (samples, T, channels) that do not fit the model or their labels."""
    if not isinstance(x, Tensor) or x.dim() != 3 or x.shape[-1] != model.in_features:
        shape = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(
            f"{name}: got {shape}, expected (samples, T, channels) with {model.in_features} "
            "channels; a time-first tensor becomes that with x.transpose(0, 1)"
        )
    if not isinstance(labels, Tensor) or labels.shape != x.shape[:1] or len(labels) == 0:
        shape = tuple(labels.shape) if isinstance(labels, Tensor) else type(labels).__name__
        hint = ""
        if isinstance(labels, Tensor) and labels.shape == x.shape[1:2]:
            hint = f"; {name} looks time-first, use {name}.transpose(0, 1)"
        raise ValueError(
            f"{label_name}: got {shape}, expected one class number for each of {len(x)} "
            f"samples{hint}"
        )
    if bool(((labels < 0) | (labels >= model.num_classes)).any()):
        raise ValueError(
            f"{label_name}: got classes from {int(labels.min())} to {int(labels.max())}, expected "
            f"0 to {model.num_classes - 1}"
        )
