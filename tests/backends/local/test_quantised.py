"""Quantised checkpoints: what can run here runs unharmed, and the rest is refused by name."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import transformers as tf
from safetensors.torch import load_file, save_file
from support.models import GREEDY, generate_ids, make_model, make_tokenizer

from collab.errors import ModelLoadError
from collab.proposals import Until
from collab.signals import Observation, Signals, Steering
from collab.views import View, ViewOptions
from collab_backends.local.fingerprint import fingerprint
from collab_backends.local.loading import LoadedModel, load_model
from collab_backends.local.model import LocalModel

VIEW = View("generator", "So the answer is", ViewOptions(template="raw"))
BLOCK = 32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_model("llama").save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    return tmp_path


def describe(folder: Path, settings: dict[str, object], **others: object) -> None:
    """Write that a checkpoint is quantised."""
    path = folder / "config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, **others, "quantization_config": settings}))


def quantise_to_fp8(folder: Path) -> dict[str, torch.Tensor]:
    """Write matrices as 8-bit floats with a scale for each block; return their values."""
    weights = load_file(folder / "model.safetensors")
    values: dict[str, torch.Tensor] = {}
    for name in [name for name in weights if "_proj.weight" in name]:
        matrix = weights[name]
        rows, columns = matrix.shape
        blocks = matrix.reshape(rows // BLOCK, BLOCK, columns // BLOCK, BLOCK)
        scales = blocks.abs().amax((1, 3)) / 448  # the largest number of the format
        packed = (blocks / scales[:, None, :, None]).to(torch.float8_e4m3fn)
        weights[name] = packed.reshape(rows, columns)
        weights[f"{name}_scale_inv"] = scales
        values[name] = (packed.float() * scales[:, None, :, None]).reshape(rows, columns)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    describe(
        folder,
        {
            "quant_method": "fp8",
            "activation_scheme": "dynamic",
            "weight_block_size": [BLOCK, BLOCK],
        },
    )
    return values


def quantise(folder: Path, settings: object) -> Path:
    """Save the checkpoint quantised by transformers; return where."""
    model = tf.AutoModelForCausalLM.from_pretrained(
        folder, quantization_config=settings, dtype=torch.float32, device_map="cpu"
    )
    target = folder / "quantised"
    model.save_pretrained(target)
    make_tokenizer().save_pretrained(target)
    return target


async def ensure_it_serves(loaded: LoadedModel) -> None:
    """Texts equal transformers' own, hidden states are read, and steering changes the text."""
    model = LocalModel("tiny", loaded, threads=1)
    observed = Signals(observations=(Observation("state", 2),))
    async with model.serving():
        async with model.open(VIEW, seed=0, signals=observed) as session:
            ids = list(session.ids)
            plain = await session.generate(Until(16), GREEDY)
            session.steer(Steering(layer=1, vector=[9.0] * 64))
            steered = await session.generate(Until(16), GREEDY)
    loaded.model.set_attn_implementation("sdpa")
    written = [token.id for token in plain.tokens]
    assert written == generate_ids(loaded.model, ids, 16)
    assert len(plain.tokens[0].observed["state"]) == 64  # type: ignore[index]  # it was observed
    assert [token.id for token in steered.tokens] != written


async def test_8_bit_floats_are_dequantised_where_there_is_no_gpu(folder: Path) -> None:
    pytest.importorskip("accelerate")
    expected = quantise_to_fp8(folder)

    loaded = load_model(str(folder), "cpu", "auto")

    held = loaded.model.state_dict()
    assert all(torch.allclose(held[name], expected[name], atol=1e-3) for name in expected)
    assert loaded.remarks == ("weights dequantised from fp8",)
    await ensure_it_serves(loaded)


@pytest.mark.parametrize("bits", [8, 4])
async def test_weights_of_bitsandbytes_stay_packed(folder: Path, bits: int) -> None:
    pytest.importorskip("bitsandbytes")
    # Its kernels for the CPU take rows of whole blocks of 64 numbers.
    make_model("llama", intermediate_size=128).save_pretrained(folder)
    settings = tf.BitsAndBytesConfig(load_in_8bit=bits == 8, load_in_4bit=bits == 4)
    target = quantise(folder, settings)

    loaded = load_model(str(target), "cpu", "auto")

    packed = loaded.model.model.layers[0].mlp.up_proj.weight
    assert packed.dtype == (torch.int8 if bits == 8 else torch.uint8)
    assert loaded.remarks == ("weights quantised with bitsandbytes",)
    await ensure_it_serves(loaded)


async def test_weights_of_torchao_stay_packed(folder: Path) -> None:
    torchao = pytest.importorskip("torchao.quantization")
    target = quantise(folder, tf.TorchAoConfig(torchao.Int8WeightOnlyConfig()))

    loaded = load_model(str(target), "cpu", "auto")

    assert type(loaded.model.model.layers[0].mlp.up_proj.weight).__name__ == "Int8Tensor"
    assert loaded.remarks == ("weights quantised with torchao",)
    await ensure_it_serves(loaded)


@pytest.mark.parametrize(
    ("package", "settings", "reason"),
    [
        ("gptqmodel", {"quant_method": "awq", "bits": 4, "group_size": 32}, "requires gptqmodel"),
        ("optimum", {"quant_method": "gptq", "bits": 4}, "'gptq', .*optimum"),
        ("optimum", {"quant_method": "quanto", "weights": "int8"}, "requires optimum-quanto"),
        ("aqlm", {"quant_method": "aqlm"}, "'aqlm', .* requires AQLM"),
        ("kernels", {"quant_method": "eetq"}, "'eetq', .* requires kernels"),
        ("fbgemm_gpu", {"quant_method": "fbgemm_fp8"}, "requires a GPU"),
        ("vptq", {"quant_method": "vptq"}, "requires VPTQ"),
        ("spqr_quant", {"quant_method": "spqr"}, "GPU is required"),
        ("bitsandbytes", {"load_in_4bit": True}, "'bitsandbytes', .*requires bitsandbytes"),
        ("torchao", {"quant_method": "torchao", "quant_type": "int8_weight_only"}, "'torchao', .*"),
        ("compressed_tensors", {"quant_method": "compressed-tensors"}, ".*compressed-tensors>="),
        ("quark", {"quant_method": "quark"}, "'quark', which cannot run on cpu here"),
        ("auto_round", {"quant_method": "auto-round", "bits": 4}, "requires auto-round"),
        ("novel", {"quant_method": "novel"}, "'novel', which transformers .* does not know"),
        ("novel", {"bits": 4}, "'a method without a name', which transformers .* does not know"),
    ],
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="what is missing without a GPU")
def test_what_cannot_run_here_is_refused_by_name(
    folder: Path, package: str, settings: dict[str, object], reason: str
) -> None:
    if find_spec(package):
        pytest.skip(f"{package} is installed")
    describe(folder, settings)

    with pytest.raises(ModelLoadError, match=f"is quantised .*{reason}"):
        load_model(str(folder), "cpu", "auto")


def test_packed_weights_are_part_of_a_fingerprint() -> None:
    model = make_model("llama")
    model.is_quantized = True  # type: ignore[assignment]  # torch takes any attribute
    layer = model.model.layers[0].mlp
    before = fingerprint(model)

    layer.register_buffer("qweight", torch.ones(8, 8, dtype=torch.int32))
    with_ones = fingerprint(model)
    layer.qweight[3, 3] = 7

    assert len({before, with_ones, fingerprint(model)}) == 3


def test_8_bit_floats_have_a_fingerprint() -> None:
    model, other = make_model("llama"), make_model("llama", seed=2)
    for one in (model, other):
        for weights in one.parameters():
            weights.data = weights.data.to(torch.float8_e4m3fn)

    assert fingerprint(model) != fingerprint(other)
