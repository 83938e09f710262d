"""A training step that a GPU does without the host."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from phc_snn.checks import check_positive

T = TypeVar("T")


class GraphedStep(Generic[T]):
    """A training step as a CUDA graph: the same kernels with the same bits, launched at once.

    A step of a small network takes a GPU less time than Python takes to launch its kernels. The
    first ``warmup`` calls run the step as it is; the next one records its kernels into a graph,
    and from then on a call replays them. Every call is one step, on the input that it is given.
    Each combination of shapes and dtypes is a graph of its own, with memory of its own.

    ::

        optimizer = torch.optim.Adam(model.parameters(), capturable=True)


        def step(x, labels):
            optimizer.zero_grad()
            loss = model.loss(model(x, solver="auto"), labels)
            loss.backward()
            optimizer.step()
            return loss.detach()


        train = phc.GraphedStep(step)
        for x, labels in batches:
            loss = train(x, labels)

    What is recorded must not hang on values, so the checks for NaN and for silent networks are made
    in the first calls only; `Exact` cannot be recorded, nor `Jacobi` with a tolerance. Gradients
    have to be cleared inside the step, and the optimiser has to be made with ``capturable=True``;
    what it reads as a number, such as a learning rate, stays as it was when it was recorded, while
    a tensor is read anew.

    Args:
        step: Of CUDA tensors; returns a tensor, a tree of tensors, or nothing.
        warmup: Calls before the one that is recorded, for each graph. Default 3.

    Raises:
        ValueError: ``warmup`` is not a positive integer.
    """

    def __init__(self, step: Callable[..., T], *, warmup: int = 3) -> None:
        check_positive("warmup", warmup)
        self._step = step
        self._warmup = warmup
        self._streams: dict[torch.device, torch.cuda.Stream] = {}
        self._calls: dict[Any, int] = {}
        self._graphs: dict[Any, tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...], T]] = {}

    def __call__(self, *inputs: Tensor) -> T:
        """One step; what it returns is not overwritten by the next one.

        Raises:
            TypeError: Input that is not a tensor.
            ValueError: Input that is not on a CUDA device.
            RuntimeError: A step that cannot be recorded.
        """
        key = tuple(map(_kind, inputs))
        calls = self._calls.get(key, 0)
        self._calls[key] = calls + 1
        if calls < self._warmup:
            return self._beside(inputs)
        if key not in self._graphs:
            self._graphs[key] = self._record(inputs)
        graph, places, result = self._graphs[key]
        for place, x in zip(places, inputs, strict=True):
            place.copy_(x)
        graph.replay()
        copied: T = tree_map_only(Tensor, Tensor.clone, result)
        return copied

    def _beside(self, inputs: tuple[Tensor, ...]) -> T:
        """The step on a stream of its own, as the libraries want it before they are recorded."""
        stream = self._stream(inputs)
        current = torch.cuda.current_stream(stream.device)
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            result = self._step(*inputs)
        current.wait_stream(stream)

        def used_here(x: Tensor) -> Tensor:
            x.record_stream(current)
            return x

        kept: T = tree_map_only(Tensor, used_here, result)
        return kept

    def _stream(self, inputs: tuple[Tensor, ...]) -> torch.cuda.Stream:
        device = inputs[0].device if inputs else torch.device("cuda", torch.cuda.current_device())
        if device not in self._streams:
            self._streams[device] = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        return self._streams[device]

    def _record(self, inputs: tuple[Tensor, ...]) -> tuple[Any, tuple[Tensor, ...], T]:
        places = tuple(x.detach().clone() for x in inputs)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=self._stream(inputs)):
                result = self._step(*places)
        except RuntimeError as error:
            raise RuntimeError(
                "step: cannot be recorded as a CUDA graph; it must not read a value on the host "
                "(as .item() and Exact do), and its optimizer needs capturable=True"
            ) from error
        return graph, places, result


def _kind(x: Any) -> tuple[Any, ...]:
    if not isinstance(x, Tensor):
        raise TypeError(f"inputs: got {type(x).__name__}, expected tensors on a CUDA device")
    if not x.is_cuda:
        raise ValueError(f"inputs: got a tensor on {x.device}, expected one on a CUDA device")
    return tuple(x.shape), x.dtype, x.device
