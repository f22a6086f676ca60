"""Model folders: good ones, incomplete ones, and architectures that would run wrongly."""

import shutil
from pathlib import Path

import pytest
import transformers as tf
from support.models import ARCHITECTURES, make_model, make_tokenizer

from collab.errors import ModelLoadError
from collab_backends.local.loading import load_model, prepare, resolve


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    model = make_model()
    model.generation_config.eos_token_id = [1, 3]
    model.save_pretrained(path)
    make_tokenizer().save_pretrained(path)
    return path


def load(path: Path | str) -> object:
    return load_model(str(path), "cpu", "auto", None)


def copy_without(folder: Path, target: Path, pattern: str) -> Path:
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns(pattern))
    return target


def test_a_folder_is_loaded_with_all_its_end_tokens(folder: Path) -> None:
    loaded = load_model(str(folder), "cpu", "auto", 100)

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

    with pytest.raises(ModelLoadError, match="has layers of type linear_attention; the local"):
        prepare(_with_config(config), make_tokenizer(), "hybrid")


def test_positions_that_depend_on_the_batch_are_refused() -> None:
    config_class, options = ARCHITECTURES["llama"]
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    config = config_class(**options | {"rope_parameters": rope})

    with pytest.raises(ModelLoadError, match=r"longest text of the batch \(dynamic\)"):
        prepare(_with_config(config), make_tokenizer(), "stretched")


def test_a_model_that_takes_no_attention_backend_is_refused() -> None:
    model = make_model()
    model._supports_attention_backend = False

    with pytest.raises(ModelLoadError, match="does not take attention backends from outside"):
        prepare(model, make_tokenizer(), "closed")


def _with_config(config: tf.PretrainedConfig) -> tf.PreTrainedModel:
    model = make_model()
    model.config = config
    return model
