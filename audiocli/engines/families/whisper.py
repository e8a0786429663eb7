"""The Whisper family (arXiv:2212.04356): what its checkpoints say of themselves. Light; the model is in whisper_model.

Covers every checkpoint in the Hugging Face layout: tiny to large-v3, turbo, the .en and the distilled ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from audiocli.engines import EngineOptions, Limits

if TYPE_CHECKING:
    from audiocli.engines.checkpoints import Checkpoint
    from audiocli.engines.families import Model, Settings

WINDOW_S = 30.0
"""1,500 encoder positions of 20 ms: what the architecture hears; its feature extractor cuts off the rest silently."""


def limits(config: Settings, generation: Settings, options: EngineOptions) -> Limits:
    """English-only checkpoints have no language tokens, and can neither be told a language nor translate.

    Raises ValueError where the ids of the special tokens are missing: without them nothing can be decoded.
    """
    if "no_timestamps_token_id" not in generation:
        raise ValueError(
            "generation_config.json does not give Whisper's tokens; take that of the model it was tuned from"
        )
    codes = tuple(sorted(token.strip("<|>") for token in generation.get("lang_to_id") or ()))
    return Limits(
        window_s=float(config.get("max_source_positions", 1500)) / 50,
        timestamps=True,
        word_timestamps=bool(generation.get("alignment_heads")),
        context_tokens=int(config.get("max_target_positions", 448)),
        languages=codes or ("en",),
        tasks=("transcribe", "translate") if codes else ("transcribe",),
    )


def load(checkpoint: Checkpoint, device: str, dtype: str, options: EngineOptions) -> Model:
    """Read the weights. device: a torch device string; dtype: the name of a torch dtype."""
    from audiocli.engines.families.whisper_model import Whisper

    return Whisper(checkpoint, device, dtype, options.fallback)
