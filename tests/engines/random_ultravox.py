"""Small Ultravox checkpoints in the layouts that are published, made of the random parts in fixtures/ultravox.

Layouts: "pointers" holds the projector alone (v0.4), "merged" the encoder as well (v0.5 on), "full" all. The reference
implementation gave its numbers for these weights.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tiny_tokenizer
import torch
import transformers
from safetensors.torch import load_file, save_file

from audiocli.records import RATE, Waveform

PARTS = Path(__file__).parent / "fixtures" / "ultravox"
LLAMA, WHISPER = PARTS / "tiny-llama", PARTS / "tiny-whisper"
LAYOUTS = ("pointers", "merged", "full")
PROMPT = "What does the person say?"
"""What the reference was asked, with the clip behind it."""
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
SMALL: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
}
MARKS = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]

Tensors = dict[str, torch.Tensor]


def make(folder: Path, version: str = "v05", layout: str = "merged", **more: Any) -> Path:
    """Write a checkpoint. version: "v04" or "v05". more: settings of config.json; None leaves one out."""
    source = PARTS / f"ultravox-{version}-pointers"
    config: dict[str, Any] = {**read(source), "text_model_id": str(LLAMA), "audio_model_id": str(WHISPER)}
    tensors = load_file(source / "model.safetensors")
    if layout != "pointers":
        config |= {"audio_model_id": None, "audio_config": read(WHISPER)}
        tensors |= encoder("audio_tower.")
    if layout == "full":
        config |= {"text_model_id": None, "text_config": read(LLAMA)}
        tensors |= prefixed("language_model.", load_file(LLAMA / "model.safetensors"))
    config = {name: value for name, value in {**config, **more}.items() if value is not None}
    folder = write(folder, config, tensors)
    for name in TOKENIZER:
        shutil.copy(LLAMA / name, folder / name)
    return folder


def write(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(dict(tensors), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def read(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "config.json").read_text(encoding="utf-8")))


def encoder(prefix: str) -> Tensors:
    """The weights of the Whisper's encoder."""
    whole = load_file(WHISPER / "model.safetensors")
    start = "model.encoder."
    return {prefix + name.removeprefix(start): one for name, one in whole.items() if name.startswith(start)}


def prefixed(prefix: str, tensors: Tensors) -> Tensors:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def change(folder: Path, config: Mapping[str, Any] | None = None, drop: str = "", **tensors: torch.Tensor) -> Path:
    """Alter a checkpoint: settings, tensors whose names start with `drop` taken out, others put in ("__" is a dot)."""
    found = load_file(folder / "model.safetensors")
    kept = {name: one for name, one in found.items() if not (drop and name.startswith(drop))}
    named = {name.replace("__", "."): one for name, one in tensors.items()}
    return write(folder, {**read(folder), **(config or {})}, {**kept, **named})


def clip(seconds: float) -> Waveform:
    """What the reference heard: a tone that wanders, and noise."""
    count = round(seconds * RATE)
    t = np.arange(count) / RATE
    tone = np.sin(2 * np.pi * (200 * t + 40 * t * np.sin(0.7 * t)))
    return (0.4 * tone + 0.05 * np.random.default_rng(7).standard_normal(count)).astype(np.float32)


def speaker(folder: Path, kind: str) -> Path:
    """A language model of another type: "qwen3" or "gemma3_text", as v0.6 has them, or "gemma3", which also sees."""
    tokenizer = tiny_tokenizer.make(MARKS, end="<|im_end|>", pad="<|endoftext|>")
    settings: dict[str, Any] = {**SMALL, "vocab_size": (len(tokenizer) + 63) // 64 * 64}
    settings |= dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), tokenizer.eos_token_id)
    if kind == "gemma3":
        settings = {"text_config": {**settings, "model_type": "gemma3_text"}, "vision_config": _sight()}
    config = transformers.AutoConfig.for_model(kind, **settings)
    torch.manual_seed(3)
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.15)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _sight() -> dict[str, Any]:
    sizes = {name: SMALL[name] for name in ("hidden_size", "intermediate_size", "num_attention_heads")}
    return {**sizes, "model_type": "siglip_vision_model", "num_hidden_layers": 1, "image_size": 28, "patch_size": 14}
