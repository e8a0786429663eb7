"""Small Whisper checkpoints with random weights: true classes, true features, windows of 30 s, the true tokenizer.

They prove plumbing and equalities, never quality. Weights are drawn wide, so that what is said depends on the audio.
The tokenizer is the embedded model's: it knows the languages and tasks already; a multilingual checkpoint differs in a
generation configuration that gives their ids.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration
from transformers.utils import logging as transformers_logging

from audiocli.engines.checkpoints import EMBEDDED_FOLDER

EOT, SOT, TRANSLATE, TRANSCRIBE, PREVIOUS, NO_TIMESTAMPS = 50256, 50257, 50357, 50358, 50360, 50362
FIRST_TIMESTAMP = NO_TIMESTAMPS + 1
SMALL = {
    "d_model": 64,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 128,
    "decoder_ffn_dim": 128,
    "max_target_positions": 64,
    "dtype": "float32",
}
HEADS = [[0, 1], [1, 0], [1, 3]]
"""Attention heads that words are aligned by: as good as any here."""


def make(folder: Path, *, end: float = 0.2, seed: int = 7, config: dict[str, Any] | None = None, **more: Any) -> Path:
    """Write a multilingual checkpoint whose answers are at most 32 tokens long.

    end: how readily it ends; at 0.2 some answers end and some run out of their budget, at 0 all of them run out.
    config: other settings of config.json. more: settings of generation_config.json; None leaves one out.
    """
    folder.mkdir(parents=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"):
        shutil.copy(EMBEDDED_FOLDER / name, folder / name)
    model = WhisperForConditionalGeneration(WhisperConfig(**{**_embedded("config"), **SMALL, **(config or {})}))
    _draw(model, end, torch.Generator().manual_seed(seed))
    settings = {**_embedded("generation_config"), "alignment_heads": HEADS, **_languages(), **more}
    model.generation_config = GenerationConfig(**{name: value for name, value in settings.items() if value is not None})
    transformers_logging.disable_progress_bar()
    model.save_pretrained(folder)
    return folder


def _embedded(name: str) -> dict[str, Any]:
    return dict(json.loads((EMBEDDED_FOLDER / f"{name}.json").read_text(encoding="utf-8")))


def _languages() -> dict[str, Any]:
    tokens = json.loads((EMBEDDED_FOLDER / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
    return {
        "is_multilingual": True,
        "lang_to_id": {token["content"]: token["id"] for token in tokens if SOT < token["id"] < TRANSLATE},
        "task_to_id": {"transcribe": TRANSCRIBE, "translate": TRANSLATE},
        "max_length": SMALL["max_target_positions"],
    }


@torch.no_grad()
def _draw(model: Any, end: float, generator: torch.Generator) -> None:
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1 and "encoder.embed_positions" not in name:
            # the audio speaks louder than the words before it
            parameter.normal_(0.0, 0.8 if ".encoder_attn.out_proj" in name else 0.2, generator=generator)
    # a lean of every last state along which the end token lies more or less far
    lean = model.model.decoder.layer_norm.bias.normal_(0.0, 0.2, generator=generator)
    model.model.decoder.embed_tokens.weight[EOT] += 5 * end * lean
