"""The kernels, run by Triton's interpreter, beside what they are to compute."""

from types import ModuleType

import pytest
import torch

pytest.importorskip("triton")

PAGE = 16


@pytest.fixture(scope="module")
def kernels() -> ModuleType:
    import collab_backends.local.paged.kernels as module  # noqa: PLC0415  # where Triton is

    return module


@pytest.fixture(scope="module")
def scans() -> ModuleType:
    import collab_backends.local.paged.scans as module  # noqa: PLC0415  # where Triton is

    return module


def attended(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    tables: torch.Tensor,
    blocks: torch.Tensor,
    window: int,
    softcap: float,
) -> torch.Tensor:
    """Attend token by token."""
    group = query.shape[0] // keys.shape[2]
    out = torch.zeros(query.shape[1], query.shape[0], values.shape[3])
    for text, first, count, position in blocks.tolist():
        for number in range(count):
            last = position + number
            low = max(0, last - window + 1) if window else 0
            slots = [
                int(tables[text, place // PAGE]) * PAGE + place % PAGE
                for place in range(low, last + 1)
            ]
            key = keys.flatten(0, 1)[slots].repeat_interleave(group, 1)
            value = values.flatten(0, 1)[slots].repeat_interleave(group, 1)
            scores = torch.einsum("hd,khd->hk", query[:, first + number], key) * 0.3
            if softcap:
                scores = torch.tanh(scores / softcap) * softcap
            out[first + number] = torch.einsum("hk,khd->hd", scores.softmax(-1), value)
    return out


@pytest.mark.parametrize(
    ("heads", "key_heads", "key_width", "value_width"),
    [(4, 2, 16, 16), (14, 2, 32, 32), (6, 6, 24, 20)],
)
@pytest.mark.parametrize(("window", "softcap"), [(0, 0.0), (5, 0.0), (70, 3.0)])
@pytest.mark.parametrize(("block_tokens", "splits"), [(1, 1), (1, 4), (8, 1), (8, 2)])
def test_attention_over_pages_equals_attention_token_by_token(
    kernels: ModuleType,
    heads: int,
    key_heads: int,
    key_width: int,
    value_width: int,
    window: int,
    softcap: float,
    block_tokens: int,
    splits: int,
) -> None:
    torch.manual_seed(0)
    keys = torch.randn(40, PAGE, key_heads, key_width)
    values = torch.randn(40, PAGE, key_heads, value_width)
    tables = torch.randperm(40).int()[:36].view(3, 12)
    # The third block belongs to no text.
    given = [[0, 0, 1, 0], [1, 1, 1, 130], [2, 2, 0, 0], [2, 3, 1, 77]]
    if block_tokens > 1:
        given = [[0, 0, 8, 0], [0, 8, 3, 8], [2, 11, 0, 0], [1, 12, 7, 100]]
    blocks = torch.tensor(given, dtype=torch.int32)
    query = torch.randn(given[-1][1] + given[-1][2], heads, key_width).transpose(0, 1)

    found = kernels.attend(
        query,
        keys,
        values,
        tables,
        blocks,
        block_tokens=block_tokens,
        scaling=0.3,
        window=window,
        softcap=softcap,
        splits=splits,
    )

    expected = attended(query, keys, values, tables, blocks, window, softcap)
    assert float((found - expected).abs().max()) < 1e-5


def test_entries_are_written_to_their_slots_wherever_these_stand(kernels: ModuleType) -> None:
    keys = torch.randn(3, 2, 16).transpose(0, 1)
    values = torch.randn(3, 2, 24).transpose(0, 1)
    key_pool, value_pool = torch.zeros(4, PAGE, 2, 16), torch.zeros(4, PAGE, 2, 24)
    slots = torch.tensor([[3, 0], [17, 0], [60, 0]])[:, 0]

    kernels.store(keys, values, key_pool, value_pool, slots)

    assert torch.equal(key_pool.flatten(0, 1)[[3, 17, 60]], keys.transpose(0, 1))
    assert torch.equal(value_pool.flatten(0, 1)[[3, 17, 60]], values.transpose(0, 1))
    assert int((key_pool != 0).any(-1).any(-1).sum()) == 3


@pytest.mark.parametrize("vocabulary", [50, 9_000])
def test_a_scan_finds_what_is_asked_of_logits(scans: ModuleType, vocabulary: int) -> None:
    torch.manual_seed(0)
    logits = torch.randn(4, vocabulary) * 3
    logits[1, [7, vocabulary - 1]] = 50
    logits[2, 20:] = -torch.inf
    logits[3, 9] = torch.nan

    ids, log_sums, tops, seconds = scans.scan(logits).unbind(1)

    expected = logits[:3].topk(2).values
    assert ids[:3].tolist() == [int(logits[0].argmax()), 7, int(logits[2].argmax())]
    assert log_sums[:3].tolist() == pytest.approx(logits[:3].logsumexp(-1).tolist(), abs=1e-4)
    assert torch.equal(torch.stack([tops, seconds], 1)[:3], expected)
    assert not bool(log_sums[3].isfinite())
