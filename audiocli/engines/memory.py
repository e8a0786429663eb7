"""What a model takes of memory, reckoned before it is loaded: weights, and what each token of a batch adds to them.

In go config.json, the headers of the weights' files, and what is free; out come bytes, and how many rows fit. Pure
arithmetic, but for the question to torch how much is free. Knows no requests. Third party: torch, in `free_bytes`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from audiocli.errors import ModelError

SHARE = 0.9
"""Of the memory that is free, what is planned with: allocators round up, and fragments are lost."""
NESTED = ("thinker_config", "text_config", "llm_config", "language_config")
"""Where a config.json of several models keeps that of its language model, outermost first."""
DEFAULTS = {
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "intermediate_size": 11008,
}
"""What transformers assumes for Llama and Qwen2 where config.json leaves it out, as Qwen2-Audio-7B's does.

(Of the feed-forward layer it assumes 22,016 for Qwen2; there Qwen2-Audio-7B gives its own.)
"""
HEADER = 8
"""Bytes of the length that a safetensors file begins with, little-endian; its JSON header follows."""


def text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of config.json that describes the language model; itself, where there is nothing but one."""
    for name in NESTED:
        inner = config.get(name)
        if isinstance(inner, Mapping):
            return text_config(inner)
    return config


def kv_bytes(config: Mapping[str, Any], width: int) -> int:
    """Keys and values of one token: 2 × layers × KV heads × head dimension × bytes of a number (`width`).

    131,072 for Llama-8B in bf16, 524,288 for Qwen2-Audio-7B, whose heads share nothing. Whisper's decoder keeps those
    of the encoder's positions, too: they are shared out among its own. An upper bound for models whose layers slide or
    share their cache.
    """
    found = text_config(config)
    if "decoder_layers" in found:
        own, heard = int(found.get("max_target_positions", 448)), int(found.get("max_source_positions", 1500))
        return 2 * int(found["decoder_layers"]) * int(found["d_model"]) * width * (own + heard) // own
    heads = _number(found, "num_attention_heads")
    shared = int(found.get("num_key_value_heads") or heads)
    dimension = int(found.get("head_dim") or _number(found, "hidden_size") // heads)
    return 2 * _number(found, "num_hidden_layers") * shared * dimension * width


def work_bytes(config: Mapping[str, Any], width: int) -> int:
    """What a token takes besides while a prompt is read, in the one layer that is at work: an estimate.

    Ten times its state (the residual, queries, keys, values, norms in float32) and three times the feed-forward
    layer's (gate, up, and their product).
    """
    found = text_config(config)
    if "decoder_layers" in found:
        return (10 * int(found["d_model"]) + 3 * int(found.get("decoder_ffn_dim", 4 * found["d_model"]))) * width
    return (10 * _number(found, "hidden_size") + 3 * _number(found, "intermediate_size")) * width


def weight_count(folder: Path) -> int:
    """Numbers in a checkpoint's safetensors files, from their headers alone; times their width it is their size.

    Raises ModelError for a file that does not begin as one.
    """
    return sum(map(_count, sorted(folder.glob("model*.safetensors"))))


def rows_that_fit(free: int, longest: int, per_token: int) -> int:
    """Rows of a batch, the longest of which takes `longest` tokens, answer and all; at least one."""
    return max(1, int(free * SHARE) // max(1, longest * per_token))


def free_bytes(device: str) -> int | None:
    """What a CUDA device has free, with what torch holds of it and does not use. None for others: they share theirs."""
    if not device.startswith("cuda"):
        return None
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return int(free) + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def _number(config: Mapping[str, Any], name: str) -> int:
    value = config.get(name)
    return DEFAULTS[name] if value is None else int(value)


def _count(file: Path) -> int:
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(HEADER), "little")
            if not 0 < length <= file.stat().st_size:
                raise ValueError("no header")
            header = json.loads(opened.read(length))
        return sum(prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as exc:
        raise ModelError(f"{file}: cannot be read as safetensors: {exc}") from exc
