"""Language models without ears: they answer questions about text, such as notes to be put together.

In go the JSON files of a checkpoint, out come its Limits. Light; the model is in text_model. Takes every type that
transformers loads as a causal language model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from audiocli.engines import EngineOptions, Limits
from audiocli.engines.families.generic import context_tokens, hears

if TYPE_CHECKING:
    from audiocli.engines.checkpoints import Checkpoint
    from audiocli.engines.families import Model, Settings


def reads(config: Settings) -> bool:
    """Whether a configuration is that of a language model for text alone."""
    architectures = config.get("architectures") or [""]
    return str(architectures[0]).endswith("ForCausalLM") and not hears(config)


def limits(config: Settings, generation: Settings, options: EngineOptions) -> Limits:
    """No audio at all, and as much text as it has positions."""
    return Limits(
        window_s=0.0,
        clips_per_request=0,
        follows_prompts=True,
        text_only=True,
        context_tokens=context_tokens(config),
        tasks=("answer",),
    )


def load(checkpoint: Checkpoint, device: str, dtype: str, options: EngineOptions) -> Model:
    """Read the weights. device: a torch device string; dtype: the name of a torch dtype."""
    from audiocli.engines.families.text_model import Text

    return Text(checkpoint, device, dtype, options)
