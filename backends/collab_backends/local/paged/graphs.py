"""Passes that are launched as one: CUDA graphs, captured when a shape is first used."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Generic, Protocol, TypeVar

import torch

from collab.telemetry.events import log_event
from collab_backends.local.paged.frames import Frame

T = TypeVar("T")
Launch = Callable[[], T]


class GraphRecorder(Protocol):
    """Turns what computes a pass into what launches it again."""

    def __call__(self, body: Launch[T]) -> Launch[T]:
        """Return what launches the pass; its result stands at the same place every time."""
        ...


@dataclass(frozen=True, slots=True)
class CudaRecorder:
    """Captures passes as CUDA graphs that share one pool of memory.

    Attributes:
        stream: On which they are captured and launched.
        pool: Their memory.
    """

    stream: torch.cuda.Stream
    pool: Any

    def __call__(self, body: Launch[T]) -> Launch[T]:
        """Return what launches the pass; its result stands at the same place every time."""
        body()
        self.stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        # Other threads, such as another model's, may use the device meanwhile.
        with torch.cuda.graph(
            graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local"
        ):
            result = body()

        def launch() -> T:
            graph.replay()
            return result

        return launch


class Graphs(Generic[T]):
    """Passes by their shape.

    Args:
        recorder: Turns passes into graphs; `None` computes them one operation at a time.

    Attributes:
        capture_s: Seconds that captures took, compilation included.
    """

    def __init__(self, recorder: GraphRecorder | None) -> None:
        self._recorder = recorder
        self._launches: dict[Hashable, Launch[T]] = {}
        self.capture_s = 0.0

    def launching(self, shape: Hashable, frame: Frame, body: Launch[T]) -> Launch[T]:
        """Return what launches passes of a shape; the first time, it is tried without any text.

        Where that fails, passes of this shape are computed one operation at a time.
        """
        if (known := self._launches.get(shape)) is not None:
            return known
        started = perf_counter()
        launch = body
        if self._recorder is not None:
            frame.blank()
            try:
                launch = self._recorder(body)
            except Exception as error:  # noqa: BLE001  # the shape works without, only slower
                log_event("engine.graph_failed", shape=str(shape), error=repr(error))
            else:
                seconds = round(perf_counter() - started, 2)
                log_event("engine.captured", shape=str(shape), seconds=seconds)
        self._launches[shape] = launch
        self.capture_s += perf_counter() - started
        return launch

    def clear(self) -> None:
        """Let go of all graphs."""
        self._launches.clear()
