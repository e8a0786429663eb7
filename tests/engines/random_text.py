"""Small language models with random weights, which read and do not hear: true classes, small contexts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tiny_tokenizer
import torch
import transformers as tf
from transformers.utils import logging as transformers_logging

POSITIONS = 512
"""Tokens of context, where the maker is not told otherwise."""
SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "bos_token_id": None,
    "tie_word_embeddings": False,
}
MAKERS = {
    "llama": (tf.LlamaConfig, tf.LlamaForCausalLM, {}),
    "qwen3": (tf.Qwen3Config, tf.Qwen3ForCausalLM, {"head_dim": 16}),
}


def make(name: str, folder: Path, template: str | None = tiny_tokenizer.CHATML, positions: int = POSITIONS) -> Path:
    """A checkpoint with random weights, drawn wide, so that what is said depends on what was asked."""
    transformers_logging.disable_progress_bar()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = tiny_tokenizer.make(special, end="<|im_end|>", pad="<|endoftext|>", template=template)
    make_config, make_model, more = MAKERS[name]
    ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    sizes = {**SIZES, "vocab_size": len(tokenizer), "max_position_embeddings": positions}
    model = make_model(make_config(**{**sizes, **more, **ids}))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, 0.2, generator=generator)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
