"""What a GPU cannot do is said when a model is loaded: by fakes, where there is none."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.models import GREEDY, make_model, make_tokenizer, serving, session
from transformers import PretrainedConfig

from collab.errors import ModelLoadError
from collab.proposals import Until
from collab_backends.local import checkpoints
from collab_backends.local.checkpoints import Checkpoint, chosen_dtype
from collab_backends.local.engines import EngineOptions
from collab_backends.local.packed import PackedPasses
from collab_backends.local.paged.passes import PagedPasses
from collab_backends.local.paged.pool import Pool, measure

CUDA = torch.device("cuda")
TOKENIZER = make_tokenizer()


def checkpoint(dtype: torch.dtype) -> Checkpoint:
    return Checkpoint("some/model", "some/model", None, PretrainedConfig(dtype=dtype))


@pytest.fixture
def old_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a card that is older than bfloat16."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla T4")


def test_bfloat16_is_refused_by_name_on_a_card_without_it(old_card: None) -> None:
    with pytest.raises(ModelLoadError, match="Tesla T4 does not compute in bfloat16; use dtype"):
        chosen_dtype("bfloat16", CUDA, checkpoint(torch.bfloat16))


def test_a_checkpoint_in_bfloat16_is_loaded_in_float32_on_a_card_without_it(
    old_card: None,
) -> None:
    assert chosen_dtype("auto", CUDA, checkpoint(torch.bfloat16)) is torch.float32
    assert chosen_dtype("auto", CUDA, checkpoint(torch.float16)) is None


def test_weights_that_do_not_fit_the_device_are_told_with_both_sizes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("says the test")

    model = make_model()
    monkeypatch.setattr(torch.nn.Module, "to", full)
    with pytest.raises(ModelLoadError, match=r"take 0\.\d GiB in float32, and cpu has .* GiB free"):
        checkpoints._moved(model, torch.device("cpu"), "some/model")


def test_pages_that_do_not_fit_the_device_are_told_and_leave_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = make_model()
    shapes = measure(model)
    empty = torch.empty
    calls = 0

    def third_fails(*args: Any, **options: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise torch.OutOfMemoryError("says the test")
        return empty(*args, **options)

    monkeypatch.setattr(torch, "empty", third_fails)
    with pytest.raises(ModelLoadError, match=r"no memory for 9 pages .* lower cache_gib"):
        Pool(shapes, 9, texts=4, most_tokens=64, device=torch.device("cpu"))

    assert not any(hasattr(module, "key_pool") for module in model.modules())


@pytest.mark.parametrize("engine", ["auto", "paged"])
async def test_logits_that_differ_over_pages_are_never_used(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sees_all: Callable[..., torch.Tensor] = torch.Tensor.masked_fill
    monkeypatch.setattr(
        "collab_backends.local.paged.attention.torch.Tensor.masked_fill",
        lambda scores, hidden, number: sees_all(scores, ~hidden, number),
    )
    options = EngineOptions(engine=engine)
    if engine == "auto":
        # As on a GPU, where pages are tried without being asked for.
        monkeypatch.setattr("collab_backends.local.engines.tries_pages", lambda *_: True)
        async with serving(make_model(), TOKENIZER, options=options) as model:
            assert isinstance(model.engine.passes, PackedPasses)
            return
    with pytest.raises(ModelLoadError, match="logits over pages differ from its own by"):
        async with serving(make_model(), TOKENIZER, options=options):
            pass


async def test_a_model_is_warmed_up_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    monkeypatch.setattr(
        "collab_backends.local.paged.launching.log_event", lambda name, **_: events.append(name)
    )
    options = EngineOptions(engine="paged", warms_up=True)
    async with serving(make_model(), TOKENIZER, options=options) as model, session(model) as live:
        assert isinstance(model.engine.passes, PagedPasses)
        assert len((await live.generate(Until(3), GREEDY)).tokens) == 3

    assert events == ["engine.warming_up"] * 5
