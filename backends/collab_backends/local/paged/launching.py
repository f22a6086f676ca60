"""Launching passes over pages: their frames, graphs, compiled layers and hidden states."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from collab.telemetry.events import log_event
from collab_backends.local.paged.compiling import Regions
from collab_backends.local.paged.frames import (
    MOST_TEXTS,
    DecodeFrame,
    Features,
    Frame,
    ReadFrame,
    decode_rows,
    read_shape,
)
from collab_backends.local.paged.graphs import CudaRecorder, GraphRecorder, Graphs, Launch
from collab_backends.local.paged.pool import Pool, Shape
from collab_backends.local.paged.reading import ID
from collab_backends.local.paged.reading import decode as decode_logits
from collab_backends.local.paged.taps import SteeringTable, Tap
from collab_backends.local.steering import HiddenStates

_DEVICES = Lock()
"""Held while a graph is captured: another engine's passes must not begin in the middle."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How passes over pages are computed.

    Attributes:
        pages: How many there are, the scratch page included.
        most_tokens: Longest text.
        has_graphs: Whether passes are launched as CUDA graphs, on a CUDA device.
        compiles: Whether decoder layers are compiled.
    """

    pages: int
    most_tokens: int
    has_graphs: bool = True
    compiles: bool = False


@dataclass(frozen=True, slots=True)
class Computed:
    """What a pass leaves on the device.

    Attributes:
        logits: Of contexts, `(R, V)`; `None` of texts that decode.
        numbers: Of texts that decode, see `reading.decode`; `None` of contexts.
        states: By layer, hidden states `(R, hidden)`.
    """

    logits: torch.Tensor | None
    numbers: torch.Tensor | None
    states: dict[int, torch.Tensor]


class Launcher:
    """Launches passes of one model on its device, in order, on a stream of its own.

    Args:
        model: A model whose attention is `paged.attention`'s.
        hidden: The hooks on its hidden states.
        shapes: Its attention layers, see `pool.measure`.
        settings: How passes are computed.
        recorder: Turns passes into graphs; by default CUDA's, on a CUDA device.

    Attributes:
        model: The model.
        hidden: The hooks on its hidden states.
        pool: Where the pages stand.
        steerings: The vectors in use.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        hidden: HiddenStates,
        shapes: dict[nn.Module, Shape],
        settings: Settings,
        recorder: GraphRecorder | None = None,
    ) -> None:
        device = model.device
        self.pool = Pool(
            shapes,
            settings.pages,
            texts=MOST_TEXTS,
            most_tokens=settings.most_tokens,
            device=device,
        )
        self.model, self.hidden = model, hidden
        # Typed loosely: without a GPU, torch has no types for its streams.
        self._stream: Any = _stream(device)
        if recorder is None and self._stream is not None and settings.has_graphs:
            recorder = CudaRecorder(self._stream, torch.cuda.graph_pool_handle())
        self._graphs: Graphs[Computed] = Graphs(recorder)
        self._regions = Regions(model, hidden.layers) if settings.compiles else None
        embeddings = model.get_input_embeddings().weight
        assert isinstance(embeddings, torch.Tensor), "every transformers embedding is a matrix"
        self.steerings = SteeringTable(hidden, len(embeddings), device, model.dtype)
        self._last = torch.zeros(MOST_TEXTS + 1, dtype=torch.long, device=device)
        self._decode_frames: dict[int, DecodeFrame] = {}
        self._read_frames: dict[tuple[int, int], ReadFrame] = {}
        if self._stream is not None:
            # What was made here was made on another stream.
            self._stream.wait_stream(torch.cuda.current_stream(device))

    @property
    def is_cuda(self) -> bool:
        """Whether it launches on a CUDA device."""
        return self._stream is not None

    @property
    def capture_s(self) -> float:
        """Seconds that graphs were captured for, compilation of kernels included."""
        return self._graphs.capture_s

    @property
    def compile_s(self) -> float:
        """Seconds that layers were compiled for."""
        return self._regions.seconds if self._regions else 0.0

    def working(self) -> AbstractContextManager[object]:
        """Return the context to launch in: the stream."""
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)

    def wait(self) -> None:
        """Wait until all that was launched is computed."""
        if self._stream is not None:
            self._stream.synchronize()

    def warm_up(self) -> None:
        """Capture what plain decoding needs, so that the first texts do not wait for it."""
        steps: list[Callable[[], object]] = [
            partial(self.decode, texts, Features()) for texts in (1, 8, 32)
        ]
        steps += [partial(self.read, *read_shape(tokens, 1), Features()) for tokens in (64, 512)]
        for number, step in enumerate(steps, 1):
            log_event("engine.warming_up", step=number, of=len(steps))
            step()

    def close(self) -> None:
        """Let go of all memory and graphs, and have the model's layers as they were."""
        self.wait()
        self._graphs.clear()
        self._decode_frames.clear()
        self._read_frames.clear()
        if self._regions is not None:
            self._regions.undo()
        self.pool.close()
        if self._stream is not None:
            torch.cuda.empty_cache()

    def launching(self) -> AbstractContextManager[object]:
        """Return what is held while a pass is launched."""
        return nullcontext() if self._stream is None else _DEVICES

    def decode(self, texts: int, features: Features) -> tuple[DecodeFrame, Launch[Computed]]:
        """Return the inputs of a decoding step of `texts` texts, and what launches it."""
        self.pool.flush()
        rows = decode_rows(texts)
        if rows not in self._decode_frames:
            self._decode_frames[rows] = DecodeFrame(rows, self.pool, self._last)
        frame = self._decode_frames[rows]

        def body() -> Computed:
            frame.unpack()
            logits, states = self._logits(frame, features)
            sampled = frame.sampled(has_filters=features.filters) if features.samples else None
            numbers = decode_logits(
                logits, features.top_ks, sampled, candidates=features.candidates
            )
            frame.note(numbers[:, ID].long())
            return Computed(None, numbers, states)

        return frame, self._launching(("decode", rows, features), frame, body)

    def read(
        self, tokens: int, rows: int, features: Features
    ) -> tuple[ReadFrame, Launch[Computed]]:
        """Return the inputs of a pass over contexts, see `read_shape`, and what launches it."""
        self.pool.flush()
        if (tokens, rows) not in self._read_frames:
            self._read_frames[tokens, rows] = ReadFrame(tokens, rows, self.pool)
        frame = self._read_frames[tokens, rows]

        def body() -> Computed:
            frame.unpack()
            logits, states = self._logits(frame, features)
            return Computed(logits, None, states)

        return frame, self._launching(("read", tokens, rows, features), frame, body)

    def _launching(self, shape: object, frame: Frame, body: Launch[Computed]) -> Launch[Computed]:
        if self._regions is not None and not self._regions.is_tried:
            frame.blank()
            self._regions.attempt(body)
        return self._graphs.launching(shape, frame, body)

    def _logits(
        self, frame: Frame, features: Features
    ) -> tuple[torch.Tensor, dict[int, torch.Tensor]]:
        tap = Tap(frame, features, self.steerings, head=self.hidden.blocks)
        self.hidden.hook((*features.observed, *features.steered))
        self.hidden.tap = tap
        try:
            output = self.model(
                input_ids=frame.ids[None],
                position_ids=frame.positions[None],
                use_cache=False,
                logits_to_keep=0 if frame.rows is None else frame.rows,
                frame=frame,
            )
        finally:
            self.hidden.tap = None
        return output.logits[0], tap.states


def _stream(device: torch.device) -> Any:
    if device.type != "cuda":
        return None
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch's own
