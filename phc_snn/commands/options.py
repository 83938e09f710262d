"""A command's options from its dataclass of settings: one for each field."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from phc_snn.training.settings import Bounds, from_mapping, kinds_of, read_toml

C = TypeVar("C")


def command(
    app: typer.Typer, settings: type[C], *, instead: str = "", **more: tuple[Any, Any]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function of the settings as a command of its name.

    Its options are the settings, of which those without a default are arguments, ``--config`` (a
    TOML file, over which the command line goes) and those in ``more``: name -> (type, default),
    which the function is given too. The one of ``more`` that is called ``instead`` stands for all
    settings, and is refused beside any.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        def run(config: Path | None, **given: Any) -> None:
            others = {name: given.pop(name) for name in more}
            found = {name: value for name, value in given.items() if value is not None}
            beside = [n for n, value in others.items() if n != instead and value != more[n][1]]
            if others.get(instead) is not None and (found or config or beside):
                raise ValueError(
                    f"{instead}: a run goes on with the settings it has; give no others"
                )
            if config is not None:
                said = read_toml(config)
                # By itself first: what is wrong in it is said in its name, and only that.
                from_mapping(settings, said | _wanted(settings, found), str(config))
                found = said | found
            function(from_mapping(settings, found), **others)

        run.__doc__ = function.__doc__
        run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [*_parameters(settings), _CONFIG, *(_parameter(n, *o) for n, o in more.items())]
        )
        app.command(function.__name__.replace("_", "-"))(run)
        return function

    return register


def _wanted(settings: type[Any], given: dict[str, Any]) -> dict[str, Any]:
    """What the command line has given that a file need not say."""
    return {f.name: given[f.name] for f in fields(settings) if f.default is MISSING}


def _parameter(name: str, kind: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


_CONFIG = _parameter(
    "config", Annotated[Path | None, typer.Option(help="TOML file with any of these.")], None
)


def _between(bounds: Bounds) -> list[str]:
    return [] if bounds == Bounds() else [f"({bounds})"]


def _parameters(settings: type[Any]) -> list[inspect.Parameter]:
    hints = kinds_of(settings)
    found = []
    for field in fields(settings):
        kind = hints[field.name]
        # What lies outside is refused by the settings themselves, wherever it comes from.
        meaning = " ".join([field.metadata["help"], *_between(field.metadata["bounds"])])
        if field.default is MISSING:
            found.append(_parameter(field.name, Annotated[kind, typer.Argument(help=meaning)], ...))
            continue
        shown: Any = False if field.default is None else str(field.default)
        if field.default is True:
            shown = "on"
        if field.default is False:
            shown = False
        short = field.metadata.get("short")
        names = [f"--{field.name.replace('_', '-')}", short] if short else []
        option = typer.Option(*names, help=meaning, show_default=shown)
        # None tells what was not given from what was.
        found.append(_parameter(field.name, Annotated[kind | None, option], None))
    return found
