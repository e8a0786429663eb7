"""What a model takes of memory is reckoned from its files, and agrees with what it takes when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from audiocli.engines import checkpoints, memory
from audiocli.engines.checkpoints import EMBEDDED_FOLDER
from audiocli.errors import ModelError

LLAMA_8B: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
}
QWEN2_AUDIO_7B: dict[str, Any] = {
    "model_type": "qwen2_audio",
    "audio_config": {"model_type": "qwen2_audio_encoder", "d_model": 1280, "encoder_layers": 32},
    "text_config": {"model_type": "qwen2", "intermediate_size": 11008, "max_position_embeddings": 8192},
}
"""As on the hub, which names none of the sizes that are transformers' own."""
VOXTRAL_MINI: dict[str, Any] = {
    "text_config": {
        "hidden_size": 3072,
        "num_hidden_layers": 30,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
    }
}
OMNI_7B: dict[str, Any] = {
    "thinker_config": {
        "audio_config": {"d_model": 1280},
        "text_config": {
            "hidden_size": 3584,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
        },
    }
}


@pytest.mark.parametrize(
    ("config", "bytes_"),
    [(LLAMA_8B, 131_072), (QWEN2_AUDIO_7B, 524_288), (VOXTRAL_MINI, 122_880), (OMNI_7B, 57_344)],
    ids=["llama 8b", "qwen2-audio 7b", "voxtral mini", "qwen2.5-omni 7b"],
)
def test_the_cache_of_a_token_in_bf16_is_as_published(config: dict[str, Any], bytes_: int) -> None:
    assert memory.kv_bytes(config, 2) == bytes_
    assert memory.kv_bytes(config, 4) == 2 * bytes_


def test_half_a_minute_of_audio_takes_what_the_tables_say() -> None:
    assert 750 * memory.kv_bytes(LLAMA_8B, 2) == 98_304_000
    assert 750 * memory.kv_bytes(QWEN2_AUDIO_7B, 2) == 393_216_000
    assert 7_500 * memory.kv_bytes(QWEN2_AUDIO_7B, 2) == 3_932_160_000


def test_whispers_cache_holds_the_encoders_positions_too() -> None:
    """large-v3: 32 layers of 1,280, of 448 positions of its own and 1,500 of the encoder's."""
    large = {"decoder_layers": 32, "d_model": 1280, "max_target_positions": 448, "max_source_positions": 1500}
    assert memory.kv_bytes(large, 2) == 2 * 32 * 1280 * 2 * (448 + 1500) // 448


def test_the_cache_is_as_large_as_reckoned(qwen2_audio_folder: Path) -> None:
    from transformers import Qwen2AudioForConditionalGeneration

    model = Qwen2AudioForConditionalGeneration.from_pretrained(qwen2_audio_folder, dtype=torch.float32)
    with torch.inference_mode():
        cache = model(input_ids=torch.ones(3, 200, dtype=torch.long), use_cache=True).past_key_values
    held = sum(tensor.nbytes for layer in cache.layers for tensor in (layer.keys, layer.values))
    config = checkpoints.find(str(qwen2_audio_folder)).read_json("config.json")
    assert held == 3 * 200 * memory.kv_bytes(config, 4)


def test_weights_are_counted_without_being_read(qwen2_audio_folder: Path, tmp_path: Path) -> None:
    from transformers import Qwen2AudioForConditionalGeneration

    model = Qwen2AudioForConditionalGeneration.from_pretrained(qwen2_audio_folder)
    assert memory.weight_count(qwen2_audio_folder) == model.num_parameters()
    for at, rows in enumerate((2, 3), 1):
        part = {f"part{at}": torch.zeros(rows, 5), f"scalar{at}": torch.zeros(())}
        save_file(part, tmp_path / f"model-0000{at}-of-00002.safetensors")
    assert memory.weight_count(tmp_path) == 27


def test_weights_of_the_embedded_model_are_as_its_makers_say() -> None:
    """39 M with the positions of the encoder, which are sines, and 37.8 M without."""
    assert 37_000_000 < memory.weight_count(EMBEDDED_FOLDER) < 40_000_000


@pytest.mark.parametrize("content", [b"", b"\0" * 20, b"\xff" * 20, b"\x02\0\0\0\0\0\0\0[]", b"\x03\0\0\0\0\0\0\0{1}"])
def test_what_is_no_file_of_weights_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.safetensors: cannot be read as safetensors"):
        memory.weight_count(tmp_path)


@given(st.integers(0, 10**11), st.integers(0, 10**5), st.integers(1, 10**6))
def test_as_many_rows_as_fit_and_no_more(free: int, longest: int, per_token: int) -> None:
    rows = memory.rows_that_fit(free, longest, per_token)
    need = max(1, longest * per_token)
    assert rows >= 1
    assert rows == 1 or rows * need <= free * memory.SHARE
    assert (rows + 1) * need > int(free * memory.SHARE)


def test_other_devices_do_not_say_what_is_free() -> None:
    assert memory.free_bytes("cpu") is None
    assert memory.free_bytes("mps") is None


@pytest.mark.gpu
def test_a_gpu_says_what_is_free() -> None:
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU here")
    before = memory.free_bytes("cuda")
    held = torch.empty(2**28, dtype=torch.uint8, device="cuda")
    after = memory.free_bytes("cuda")
    assert before is not None and after is not None
    assert before - after >= held.nbytes


# ---- what "auto" stands for


def test_auto_asks_for_the_room_that_the_model_takes() -> None:
    """8.397 G parameters, and four windows of 750 tokens of audio and 400 of text and answer."""
    per_token = memory.kv_bytes(QWEN2_AUDIO_7B, 2) + memory.work_bytes(QWEN2_AUDIO_7B, 2)
    assert per_token == 524_288 + 147_968
    needed = 2 * 8_397_000_000 + 4 * 1150 * per_token
    assert needed < checkpoints.AUTOMATIC_BYTES < needed + 1.5e9


@pytest.mark.parametrize(
    ("free", "width", "model"),
    [
        (None, 2, "tiny.en"),
        (0, 2, "tiny.en"),
        (15_500_000_000, 2, "tiny.en"),
        (20_999_999_999, 2, "tiny.en"),
        (21_000_000_000, 2, "qwen2-audio"),
        (25_000_000_000, 2, "qwen2-audio"),
        (25_000_000_000, 4, "tiny.en"),
        (80_000_000_000, 4, "qwen2-audio"),
    ],
    ids=["no gpu", "full", "16 GB", "just not", "just", "24 GB", "24 GB in fp32", "80 GB in fp32"],
)
def test_auto_is_the_large_model_where_it_has_room(free: int | None, width: int, model: str) -> None:
    assert checkpoints.automatic(free, width) == model
