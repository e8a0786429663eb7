"""The Qwen2-Audio family (arXiv:2407.10759): what its checkpoints say of themselves. Light; the model is beside it.

Its encoder is Whisper's and hears 30 s; its makers say that it performs best below that ("audio clips under 30
seconds", README of their repository), and their processor cuts off the rest without a word.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from audiocli.engines import EngineOptions, Limits
from audiocli.errors import UsageError
from audiocli.records import RATE

if TYPE_CHECKING:
    from audiocli.engines.checkpoints import Checkpoint
    from audiocli.engines.families import Model, Settings

MOST_CLIPS = 10
"""In one message: 10 × 750 tokens leave 692 of the hub checkpoint's 8,192 positions for question and answer."""
POSITIONS = 8192
"""`max_position_embeddings` of Qwen2-Audio-7B-Instruct, for a config.json that leaves it out."""
HOP = 160
"""Samples from one mel frame to the next: 10 ms."""
SHORTEST = RATE // 10
"""Samples: a shorter clip is padded. Below 50 ms there would be no audio token at all."""

log = logging.getLogger(__name__)


def limits(config: Settings, generation: Settings, options: EngineOptions) -> Limits:
    """From the sizes of encoder and language model. Raises UsageError for what is asked beyond them."""
    clips, pool = options.clips_per_request or 1, options.downsample or 2
    if not 1 <= clips <= MOST_CLIPS:
        raise UsageError(f"{clips} clips in one request: Qwen2-Audio takes 1 to {MOST_CLIPS}")
    if pool not in (2, 4):
        raise UsageError(f"no downsampling by {pool}: Qwen2-Audio pools by 2, and by 4 if asked to")
    positions = int((config.get("audio_config") or {}).get("max_source_positions", 1500))
    return Limits(
        window_s=positions / 50,
        clips_per_request=clips,
        follows_prompts=True,
        text_only=True,
        context_tokens=int((config.get("text_config") or {}).get("max_position_embeddings", POSITIONS)),
        tasks=("transcribe", "translate", "answer"),
        audio_tokens_per_s=50 / pool,
    )


def audio_tokens(samples: int, pool: int = 2) -> int:
    """Tokens that a clip takes: mel frames, halved by the second convolution, and pooled.

    750 for 30 s, 25 for 1 s. pool: 4 halves that once more, and nothing of the model was trained for it.
    """
    frames = -(-max(samples, SHORTEST) // HOP)
    states = (frames - 1) // 2 + 1
    return (states - pool) // pool + 1


def load(checkpoint: Checkpoint, device: str, dtype: str, options: EngineOptions) -> Model:
    """Read the weights. device: a torch device string; dtype: the name of a torch dtype."""
    from audiocli.engines.families import qwen2_audio_model

    if options.downsample == 4:
        log.warning(
            "--downsample 4 is experimental: %s was not trained to hear at 12.5 tokens a second", checkpoint.name
        )
    return qwen2_audio_model.load(checkpoint, device, dtype, options)
