"""Regional compilation: every decoder layer's forward is compiled, nothing around it."""

from collections.abc import Callable, Iterable
from time import perf_counter

import torch
from torch import nn
from transformers import PreTrainedModel

from collab.telemetry.events import log_event


class Regions:
    """A model's decoder layers, compiled; all layers share the code of one.

    Hooks on layers stay outside. Shapes are dynamic, so that a few compilations serve passes of all
    sizes.

    Args:
        model: The model.
        layers: Its decoder layers.

    Attributes:
        is_tried: Whether `attempt` was called.
        seconds: What compilation took.
    """

    def __init__(self, model: PreTrainedModel, layers: Iterable[nn.Module]) -> None:
        self.is_tried = False
        self.seconds = 0.0
        self._name = type(model).__name__
        self._plain = [(layer, layer.forward) for layer in layers]
        for layer, forward in self._plain:
            layer.forward = torch.compile(forward, dynamic=True)

    def attempt(self, body: Callable[[], object]) -> None:
        """Compute a first pass; if its layers cannot be compiled, go on without."""
        self.is_tried = True
        log_event("engine.compiling", model=self._name)
        started = perf_counter()
        try:
            body()
        except Exception as error:  # noqa: BLE001  # what a compiler raises is anything
            self.undo()
            log_event("engine.compile_failed", model=self._name, error=repr(error))
            return
        self.seconds = perf_counter() - started
        log_event("engine.compiled", model=self._name, seconds=round(self.seconds, 1))

    def undo(self) -> None:
        """Have the layers as they were."""
        for layer, forward in self._plain:
            layer.forward = forward
        self._plain = []
