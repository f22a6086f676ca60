"""Model folders: good ones, incomplete ones, and architectures that would run wrongly."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as tf
from safetensors.torch import load_file, save_file
from support.models import ARCHITECTURES, TINY, make_model, make_tokenizer

from collab.errors import ModelLoadError
from collab_backends.local.loading import LoadOptions, load_model, prepare
from collab_backends.tokenizing.sources import load_tokenizer, resolve


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    model = make_model()
    model.generation_config.eos_token_id = [1, 3]
    model.save_pretrained(path)
    make_tokenizer().save_pretrained(path)
    return path


def load(path: Path | str) -> object:
    return load_model(str(path), "cpu", "auto")


def copy_without(folder: Path, target: Path, pattern: str) -> Path:
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns(pattern))
    return target


def test_a_folder_is_loaded_with_all_its_end_tokens(folder: Path) -> None:
    loaded = load_model(str(folder), "cpu", "auto", LoadOptions(max_context_tokens=100))

    assert loaded.end_ids == {1, 3}
    assert (loaded.context_tokens, loaded.vocabulary) == (100, 400)


def test_a_missing_folder_is_named() -> None:
    with pytest.raises(ModelLoadError, match=r"there is no model folder './nowhere'"):
        load("./nowhere")


def test_a_folder_that_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="is no model folder: it has no config.json"):
        load(tmp_path)


def test_a_folder_without_weights_is_named(folder: Path, tmp_path: Path) -> None:
    path = copy_without(folder, tmp_path / "m", "*.safetensors")

    with pytest.raises(ModelLoadError, match="cannot load the weights of '.*/m': "):
        load(path)


def test_a_folder_without_a_tokenizer_is_named(folder: Path, tmp_path: Path) -> None:
    path = copy_without(folder, tmp_path / "m", "tokenizer*")

    with pytest.raises(ModelLoadError, match="cannot load the tokenizer of '.*/m': "):
        load(path)


def test_damaged_weights_are_named(folder: Path, tmp_path: Path) -> None:
    path = copy_without(folder, tmp_path / "m", "nothing")
    (path / "model.safetensors").write_bytes(b"\x00" * 64)

    with pytest.raises(ModelLoadError, match="cannot load the weights of '.*/m': "):
        load(path)


def test_a_hub_id_that_cannot_be_reached_is_named() -> None:
    with pytest.raises(ModelLoadError, match="cannot load the configuration of 'nobody/nothing'"):
        load("nobody/nothing")


def test_the_shipped_pair_is_found_by_name() -> None:
    assert Path(resolve("lab/generator"), "model.safetensors").is_file()
    with pytest.raises(ModelLoadError, match="the shipped lab has no model 'professor'"):
        resolve("lab/professor")


def test_linear_attention_is_refused_by_name() -> None:
    config = tf.Qwen3NextConfig(num_hidden_layers=4)

    with pytest.raises(
        ModelLoadError, match="has layers of type linear_attention; .* engine: generic"
    ):
        prepare(_with_config(config), make_tokenizer(), "hybrid")


def test_positions_that_depend_on_the_batch_are_refused() -> None:
    config_class, options = ARCHITECTURES["llama"]
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    config = config_class(**options | {"rope_parameters": rope})

    with pytest.raises(
        ModelLoadError, match=r"longest text of the batch \(dynamic\).* engine: generic"
    ):
        prepare(_with_config(config), make_tokenizer(), "stretched")


def test_a_model_that_takes_no_attention_backend_is_refused() -> None:
    model = make_model()
    model._supports_attention_backend = False

    with pytest.raises(ModelLoadError, match="does not take attention backends .* engine: generic"):
        prepare(model, make_tokenizer(), "closed")


def _with_config(config: tf.PretrainedConfig) -> tf.PreTrainedModel:
    model = make_model()
    model.config = config
    return model


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    make_model().save_pretrained(tmp_path, max_shard_size="100KB")
    make_tokenizer().save_pretrained(tmp_path)
    shard = sorted(tmp_path.glob("model-*.safetensors"))[1]
    shard.unlink()

    with pytest.raises(ModelLoadError, match=f"cannot load the weights of .*{shard.name}"):
        load(tmp_path)


def test_a_tokenizer_without_an_end_of_text_is_fine(tmp_path: Path) -> None:
    tokenizer = make_tokenizer()
    tokenizer.eos_token = tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path)
    make_model().save_pretrained(tmp_path)

    assert load_model(str(tmp_path), "cpu", "auto").end_ids == frozenset()


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("gpu", "there is no device 'gpu'; write auto, cpu or cuda:0"),
        ("cuda:99", r"there is no device 'cuda:99'; CUDA devices here: \d"),
    ],
)
def test_a_device_that_is_not_there_is_named(folder: Path, device: str, message: str) -> None:
    with pytest.raises(ModelLoadError, match=message):
        load_model(str(folder), device, "auto")


def test_spreading_a_model_without_accelerate_says_what_is_missing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(
        ModelLoadError, match=r"'accelerate' is needed to spread .*extra `accelerate`"
    ):
        load_model(str(folder), "cpu", "auto", LoadOptions(device_map="auto"))


def test_the_memory_of_caches_is_bounded_as_asked(folder: Path) -> None:
    loaded = load_model(str(folder), "cpu", "auto", LoadOptions(cache_gib=0.001))

    # Two tensors of 2 heads of 16 numbers in float32, in each of 4 layers.
    assert loaded.token_bytes == 2 * 2 * 16 * 4 * 4
    assert loaded.cache_tokens == int(0.001 * 2**30) // loaded.token_bytes


def test_state_that_does_not_pass_through_attention_is_noticed() -> None:
    model = make_model()

    def remember(module: object, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (args[0] + args[0].cumsum(dim=1), *args[1:])

    model.model.layers[1].register_forward_pre_hook(remember)

    with pytest.raises(
        ModelLoadError, match="gives different logits through the .* engine: generic"
    ):
        prepare(model, make_tokenizer(), "recurrent")


def test_a_configuration_of_endless_layers_is_refused_before_anything_is_built(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copy_without(folder, tmp_path / "m", "nothing")
    values = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**values, "num_hidden_layers": 1_000_000}))
    # Even the configuration takes long to build, so that is where it would end up.
    monkeypatch.setattr(tf.AutoConfig, "from_pretrained", None)

    with pytest.raises(
        ModelLoadError,
        match=r"names 1,000,000 layers \(num_hidden_layers\), and no model has more than 2,000",
    ):
        load(path)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_supported_architecture_passes_the_probe(
    architecture: str, dtype: torch.dtype
) -> None:
    model = make_model(architecture, dtype=dtype)

    assert prepare(model, make_tokenizer(), architecture).token_bytes > 0


def test_a_missing_tensor_is_named(folder: Path, tmp_path: Path) -> None:
    path = copy_without(folder, tmp_path / "m", "nothing")
    weights = load_file(path / "model.safetensors")
    del weights["model.layers.2.mlp.down_proj.weight"]
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(ModelLoadError, match=r"1 are missing, such as '.*layers.2.mlp.down_proj"):
        load(path)


@pytest.mark.parametrize("device", ["meta", "xpu", "vulkan"])
def test_a_device_that_cannot_compute_is_named(folder: Path, device: str) -> None:
    with pytest.raises(ModelLoadError, match=f"the device '{device}' cannot be used here"):
        load_model(str(folder), device, "auto")


def test_attention_sinks_are_refused_by_name() -> None:
    config = tf.GptOssConfig(
        vocab_size=400,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        num_local_experts=2,
        num_experts_per_tok=1,
    )
    model = tf.AutoModelForCausalLM.from_config(config, dtype=torch.float32)

    with pytest.raises(ModelLoadError, match="cannot be run .* attention sinks .* engine: generic"):
        prepare(model, make_tokenizer(), "sinks")


def _tiny(config_class: type[tf.PretrainedConfig], **options: Any) -> tf.PreTrainedModel:
    return tf.AutoModelForCausalLM.from_config(config_class(**TINY | options), dtype=torch.float32)  # type: ignore[no-any-return]  # transformers' own


_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}


@pytest.mark.parametrize(
    "model",
    [
        (tf.Qwen2MoeConfig, {"use_sliding_window": True, "max_window_layers": 4, **_EXPERTS}),
        (tf.PhimoeConfig, {"num_local_experts": 4}),
        (tf.DogeConfig, {}),
    ],
)
def test_a_window_that_stands_in_the_mask_only_is_refused(
    model: tuple[type[tf.PretrainedConfig], dict[str, object]],
) -> None:
    config, options = model

    with pytest.raises(ModelLoadError, match=r"\(sliding_window 40\), but layer 0 .* engine: gen"):
        prepare(_tiny(config, sliding_window=40, **options), make_tokenizer(), "near-sighted")


@pytest.mark.parametrize(
    "model",
    [
        (tf.Qwen2Config, {"use_sliding_window": True, "max_window_layers": 2}),
        (tf.Qwen2MoeConfig, {"use_sliding_window": False, **_EXPERTS}),
        (tf.MistralConfig, {}),
        (tf.MixtralConfig, {"num_local_experts": 4}),
        (tf.Cohere2Config, {}),
    ],
)
def test_a_window_that_is_handed_over_is_taken_and_stays_as_it_was(
    model: tuple[type[tf.PretrainedConfig], dict[str, object]],
) -> None:
    config, options = model
    tiny = _tiny(config, sliding_window=40, **options)
    before = tiny.config.sliding_window

    prepare(tiny, make_tokenizer(), "near-sighted")

    assert tiny.config.sliding_window == before


def test_attention_scaled_by_the_place_in_the_row_is_noticed() -> None:
    model = _tiny(
        tf.Llama4TextConfig,
        head_dim=16,
        num_local_experts=2,
        intermediate_size_mlp=96,
        layer_types=["full_attention"] * 4,
        no_rope_layers=[0, 1, 0, 1],
        attention_chunk_size=None,
    )

    with pytest.raises(ModelLoadError, match="gives different logits through the local engine"):
        prepare(model, make_tokenizer(), "tempered")


def test_positions_stretched_alike_for_every_text_are_fine() -> None:
    rope = {"rope_type": "dynamic", "alpha": 1000.0, "factor": 1.0, "rope_theta": 10000.0}
    model = _tiny(tf.HunYuanDenseV1Config, head_dim=16, rope_parameters=rope)

    assert prepare(model, make_tokenizer(), "stretched").token_bytes > 0


@pytest.mark.parametrize(
    ("config", "options", "reason"),
    [
        (tf.NemotronConfig, {}, "its layers do not pass on what an attention backend is given"),
        (tf.AfmoeConfig, {"head_dim": 16, **_EXPERTS}, "its code takes no row in which several"),
    ],
)
def test_a_model_whose_code_does_not_fit_is_refused_in_words(
    config: type[tf.PretrainedConfig], options: dict[str, object], reason: str
) -> None:
    with pytest.raises(ModelLoadError, match=f"cannot be run by the local engine: {reason}"):
        prepare(_tiny(config, **options), make_tokenizer(), "other")


def test_weights_that_are_no_numbers_are_named() -> None:
    model = make_model()
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight[0, 0] = torch.nan

    with pytest.raises(ModelLoadError, match="gives logits that are not numbers, even by itself"):
        prepare(model, make_tokenizer(), "damaged")


@pytest.mark.parametrize("pattern", ["nothing", "tokenizer_config.json"])
def test_a_folder_with_a_tokenizer_alone_is_a_tokenizer(tmp_path: Path, pattern: str) -> None:
    make_tokenizer().save_pretrained(tmp_path / "all")
    path = copy_without(tmp_path / "all", tmp_path / "t", pattern)

    assert load_tokenizer(str(path))("So")["input_ids"] == make_tokenizer()("So")["input_ids"]


def test_a_folder_without_a_tokenizers_files_is_named(tmp_path: Path) -> None:
    message = "is no tokenizer folder: it has no tokenizer.json and no tokenizer_config.json"

    with pytest.raises(ModelLoadError, match=message):
        load_tokenizer(str(tmp_path))
