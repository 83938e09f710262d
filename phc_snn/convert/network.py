"""The recurrent network of a model, and the current that a model's input puts into it."""

from typing import Any

from torch import Tensor

from phc_snn.checks import check_input
from phc_snn.models import PHCSSM
from phc_snn.phc import PHC


def recurrent(model: Any, x_seq: Any) -> tuple[PHC, Tensor]:
    """The `PHC` of a model, and its input current (T, B, N) for the model's input.

    Raises:
        TypeError: Another model than `PHC` and `PHCSSM`; input that is no floating-point tensor.
        ValueError: Input of a wrong shape.
    """
    if isinstance(model, PHCSSM):
        check_input("x_seq", x_seq, ("T", "B", "D_in"), model.in_features)
        return model.network, model.encoder(x_seq)
    if isinstance(model, PHC):
        check_input("x_seq", x_seq, ("T", "B", "N"), model.features)
        return model, x_seq
    raise TypeError(f"model: got {type(model).__name__}, expected a PHC or a PHCSSM")
