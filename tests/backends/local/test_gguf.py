"""GGUF files: their weights are dequantised, and what would be lost on the way is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as tf
import yaml
from servers.gguf_files import write_gguf
from support.cli_helpers import invoke
from support.models import CORPUS, generate_ids, make_tokenizer
from support.run_fakes import ADDER, write_problems

from collab.errors import ModelLoadError
from collab.proposals import Sampling, Until
from collab.views import View, ViewOptions
from collab_backends.local.backend import LocalTorch
from collab_backends.local.gguf_files import read_gguf
from collab_backends.local.loading import LoadedModel, LoadOptions, load_model
from collab_backends.tokenizing.sources import load_tokenizer

pytest.importorskip("accelerate", reason="transformers loads GGUF files with it")

LLAMA_3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


def make_llama(folder: Path, **options: object) -> tf.PreTrainedModel:
    """Save a small Llama with a tokenizer; its rows are as long as a block of 8 bits holds."""
    size: dict[str, object] = {
        "vocab_size": 400,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "bos_token_id": None,
        "eos_token_id": 1,
        "pad_token_id": 0,
    }
    torch.manual_seed(1)
    config = tf.LlamaConfig(**size | options)  # type: ignore[arg-type]  # transformers' own
    model = tf.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(3 if weights.ndim > 1 else 1)
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    loaded: tf.PreTrainedModel = model
    return loaded


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("llama")
    make_llama(path)
    return path


@pytest.fixture(scope="module")
def whole(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(folder, path, is_quantised=True)
    return path


def load(path: Path, **options: str) -> LoadedModel:
    return load_model(str(path), "cpu", "auto", LoadOptions(**options))  # type: ignore[arg-type]


def logits(model: tf.PreTrainedModel) -> torch.Tensor:
    model.set_attn_implementation("eager")
    ids = torch.arange(100)[None] + 7
    with torch.inference_mode():
        found: torch.Tensor = model(ids).logits[0]
    return found


def test_the_weights_are_those_of_the_file_and_its_end_of_text_holds(
    folder: Path, whole: Path
) -> None:
    plain = load_model(str(folder), "cpu", "auto")

    loaded = load(whole)

    # Blocks of 8 bits keep about two decimals.
    astray = (logits(loaded.model) - logits(plain.model)).abs().mean() / logits(plain.model).std()
    assert float(astray) < 0.02
    assert loaded.end_ids == {1}
    assert loaded.model.dtype == torch.float32


@pytest.mark.parametrize("is_named", [True, False])
async def test_a_file_or_its_folder_is_served_and_tells_that_it_was_dequantised(
    whole: Path, is_named: bool
) -> None:
    view = View("generator", "So the answer is", ViewOptions(template="raw"))

    async with LocalTorch(model=str(whole if is_named else whole.parent)).connect() as model:
        diagnosis = await model.diagnose(view)  # type: ignore[attr-defined]  # local models can

    assert diagnosis.remarks == (
        "weights dequantised from tiny.gguf: 0 MiB in the file, 0 MiB of float32 in memory",
    )


def test_the_files_tokenizer_is_taken_unless_another_is_named(
    folder: Path, whole: Path, tmp_path: Path
) -> None:
    make_tokenizer(vocabulary=300).save_pretrained(tmp_path)
    text = CORPUS[2]

    own, other = load(whole).tokenizer, load(whole, tokenizer=str(tmp_path)).tokenizer

    assert own(text)["input_ids"] == load_tokenizer(str(folder))(text)["input_ids"]
    assert other(text)["input_ids"] == make_tokenizer(vocabulary=300)(text)["input_ids"]


def test_a_tokenizer_alone_is_read_from_a_file(whole: Path) -> None:
    assert load_tokenizer(str(whole)).get_vocab()["<eos>"] == 1


def test_frequencies_that_transformers_leaves_out_are_taken_from_the_file(tmp_path: Path) -> None:
    stretched = make_llama(tmp_path / "m", rope_parameters=LLAMA_3)
    plain = make_llama(tmp_path / "plain")
    factors = plain.model.rotary_emb.inv_freq / stretched.model.rotary_emb.inv_freq
    write_gguf(tmp_path / "m", tmp_path / "a.gguf", added={"rope_freqs.weight": factors.numpy()})

    loaded = load(tmp_path / "a.gguf")

    assert torch.allclose(logits(loaded.model), logits(stretched), atol=1e-4)
    assert not torch.allclose(logits(plain), logits(stretched), atol=1e-1)


def test_all_ends_of_text_that_the_file_names_end_a_text(folder: Path, tmp_path: Path) -> None:
    write_gguf(folder, tmp_path / "a.gguf", stated={"tokenizer.ggml.eot_token_id": 3})

    assert load(tmp_path / "a.gguf").end_ids == {1, 3}


def test_weights_without_a_place_in_the_model_are_refused(folder: Path, tmp_path: Path) -> None:
    bias = np.zeros(64, dtype=np.float32)
    write_gguf(folder, tmp_path / "a.gguf", added={"blk.0.attn_q.bias": bias})

    with pytest.raises(ModelLoadError, match=r"holds 64 numbers that .*LlamaForCausalLM has no pl"):
        load(tmp_path / "a.gguf")


def test_scaled_positions_are_refused(folder: Path, tmp_path: Path) -> None:
    stated: dict[str, str | float | int] = {
        "llama.rope.scaling.type": "yarn",
        "llama.rope.scaling.factor": 4.0,
    }
    write_gguf(folder, tmp_path / "a.gguf", stated=stated)

    with pytest.raises(ModelLoadError, match=r"scales positions \('yarn'\), and .* `llama-server"):
        load(tmp_path / "a.gguf")


def test_an_architecture_that_transformers_does_not_read_is_named(
    whole: Path, tmp_path: Path
) -> None:
    data = whole.read_bytes().replace(b"llama", b"novel", 1)
    (tmp_path / "a.gguf").write_bytes(data)

    with pytest.raises(
        ModelLoadError, match=r"of the architecture 'novel', which transformers .* `llama-server -m"
    ):
        load(tmp_path / "a.gguf")


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        (slice(0, -5000), r"is cut off: its tensors end at byte [\d,]+, and it has [\d,]+ bytes"),
        (slice(0, 300), r"or its head is damaged \(.*\); get it again"),
        (slice(1, None), r"not a GGUF file of version 2 or 3, .*\(it does not begin with GGUF\)"),
        (slice(0, 0), "not a GGUF file of version 2 or 3"),
    ],
)
def test_a_damaged_file_is_named(whole: Path, tmp_path: Path, kept: slice, message: str) -> None:
    (tmp_path / "a.gguf").write_bytes(whole.read_bytes()[kept])

    with pytest.raises(ModelLoadError, match=message):
        load(tmp_path / "a.gguf")


def test_one_part_of_several_is_named(folder: Path, tmp_path: Path) -> None:
    write_gguf(folder, tmp_path / "a.gguf", stated={"split.count": 3})

    with pytest.raises(ModelLoadError, match="is one of 3 parts; join them first with `llama-gguf"):
        load(tmp_path / "a.gguf")


def test_several_files_in_a_folder_have_to_be_told_apart(whole: Path, tmp_path: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        shutil.copy(whole, tmp_path / name)

    with pytest.raises(ModelLoadError, match=r"holds 2 GGUF files; name one of a.gguf, b.gguf"):
        load(tmp_path)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ModelLoadError, match=r"there is not a GGUF file './nowhere.gguf'"):
        load_model("./nowhere.gguf", "cpu", "auto")


def test_a_file_is_refused_before_it_fills_the_memory(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collab_backends.local.gguf_models.free_memory", lambda device: 2**20)

    with pytest.raises(
        ModelLoadError,
        match=r"dequantised to float32, \d MiB of memory; 1 MiB are free on cpu; load it with "
        r"dtype bfloat16, or serve it with `llama-server",
    ):
        load(whole)


def test_without_the_package_the_extra_is_named(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(ModelLoadError, match=r"'gguf' is needed to read .*extra `gguf`"):
        load(whole)


def test_the_head_says_what_the_file_holds(folder: Path, whole: Path) -> None:
    found = read_gguf(whole)

    weights = tf.AutoModelForCausalLM.from_pretrained(folder).state_dict()
    assert found.architecture == "llama"
    assert found.numbers == sum(one.numel() for one in weights.values())
    assert found.float_type is None
    assert found.entries > 800, "400 tokens, their kinds, and the merges"


async def test_greedy_texts_equal_those_of_transformers(whole: Path) -> None:
    plain = tf.AutoModelForCausalLM.from_pretrained(
        whole.parent, gguf_file=whole.name, dtype=torch.float32
    )
    plain.generation_config.eos_token_id = None
    view = View("generator", "So the answer is", ViewOptions(template="raw"))

    async with LocalTorch(model=str(whole), threads=1).connect() as model:
        async with model.open(view, seed=0) as session:
            proposal = await session.generate(Until(24), Sampling())

    ids = load_tokenizer(str(whole))("So the answer is")["input_ids"]
    assert [token.id for token in proposal.tokens] == generate_ids(plain, ids, 24)


def test_validate_shows_that_weights_were_dequantised(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    config = {
        "pair": {"generator": {"use": "local", "model": str(whole)}, "mentor": ADDER},
        "policy": "always",
        "problems": str(write_problems(tmp_path / "problems.jsonl", 2)),
    }
    path.write_text(yaml.safe_dump(config))

    shown = invoke("validate", path, "--load")
    found = json.loads(invoke("validate", path, "--load", "--json").stdout)

    told = " ".join(shown.stdout.split())
    assert "note generator: weights dequantised from tiny.gguf: 0 MiB in the file" in told
    remarks = [one["remarks"] for one in found["models"]["participants"]]
    assert [len(one) for one in remarks] == [1, 0]
