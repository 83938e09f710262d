"""Optional packages: imported where they are used, with an error that says what to install."""

from importlib import import_module
from types import ModuleType


class MissingExtraError(ImportError):
    """An optional package is not installed."""


def require(module: str, *, extra: str) -> ModuleType:
    """Import ``module``, which the extra ``phc-snn[extra]`` brings.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise MissingExtraError(
            f"{package} is not installed; install it with: pip install 'phc-snn[{extra}]'"
        ) from error
