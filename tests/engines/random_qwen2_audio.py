"""Small Qwen2-Audio checkpoints with random weights: true classes, true features, windows of 30 s.

They prove plumbing and equalities, never quality. Weights are drawn wide, so that what is said depends on the audio.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tiny_tokenizer
import torch
from transformers import (
    GenerationConfig,
    Qwen2AudioConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioProcessor,
    WhisperFeatureExtractor,
)
from transformers.utils import logging as transformers_logging

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>")
SPREAD = 0.15
"""Standard deviation of the weights; at the usual 0.02 the answer is the same to everything."""


def make(folder: Path, *, seed: int = 0, hidden: int = 64, positions: int = 8192, **advised: Any) -> Path:
    """Write a checkpoint whose answers mostly run out of their budget.

    hidden: width of the language model; bitsandbytes needs 64 a head. positions: its context. advised: settings of
    generation_config.json, as the makers of a model leave them.
    """
    tokenizer = tiny_tokenizer.make(SPECIAL, end="<|im_end|>", pad="<|endoftext|>", template=None)
    features = WhisperFeatureExtractor(feature_size=128)
    config = Qwen2AudioConfig(
        audio_config=_ear(), text_config=_mind(tokenizer, hidden, positions), audio_token_index=_id(tokenizer)
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Qwen2AudioForConditionalGeneration(config)
    _draw(model, torch.Generator().manual_seed(seed))
    ends = [tokenizer.eos_token_id, tokenizer.pad_token_id]
    model.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=tokenizer.pad_token_id, **advised)
    transformers_logging.disable_progress_bar()
    model.save_pretrained(folder)
    Qwen2AudioProcessor(features, tokenizer).save_pretrained(folder)
    return folder


def _id(tokenizer: Any) -> int:
    return int(tokenizer.convert_tokens_to_ids("<|AUDIO|>"))


def _ear() -> dict[str, Any]:
    return {
        "model_type": "qwen2_audio_encoder",
        "d_model": 32,
        "encoder_layers": 2,
        "encoder_attention_heads": 4,
        "encoder_ffn_dim": 64,
        "num_mel_bins": 128,
        "max_source_positions": 1500,
    }


def _mind(tokenizer: Any, hidden: int, positions: int) -> dict[str, Any]:
    return {
        "model_type": "qwen2",
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": len(tokenizer) + 5,
        "max_position_embeddings": positions,
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


@torch.no_grad()
def _draw(model: Any, generator: torch.Generator) -> None:
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1 and "embed_positions" not in name:
            parameter.normal_(0.0, SPREAD, generator=generator)
