"""The Ultravox family (fixie-ai/ultravox): what its checkpoints say of themselves. Light; ultravox_model has the model.

An Ultravox is a Whisper encoder, a projector, and any causal language model, which it hears instead of reads. Its
checkpoints hold what was trained (the projector, later also the encoder, seldom the language model) and point to the
rest by hub id. They ship code, which is never run: config.json is read here, and the model is our own. Covers v0.3 to
v0.6 with their feed-forward projectors. Knows no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from audiocli.engines import EngineOptions, Limits, checkpoints
from audiocli.errors import ModelError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from audiocli.engines.checkpoints import Checkpoint
    from audiocli.engines.families import Model, Settings

CLIP_S = 300.0
"""It has no limit but its language model's context, as long clips are encoded in pieces of 30 s; more than a chunk of 5
minutes is never asked at once."""
MOST_CLIPS = 10
FRAMES_PER_S = 100
"""Of the log-mel spectrogram; Whisper's encoder gives a state for every second one."""
STACK = 8
"""Encoder states that make one token of audio, where config.json does not say."""


def limits(config: Settings, generation: Settings, options: EngineOptions) -> Limits:
    """The context's size is known before loading where the language model's config.json is on this machine.

    Raises ModelError for variants that are not covered, UsageError for options that this checkpoint has no use for.
    """
    _refuse(config, options)
    return Limits(
        window_s=CLIP_S,
        clips_per_request=options.clips_per_request or 1,
        follows_prompts=True,
        text_only=True,
        context_tokens=_context_tokens(config, options),
        tasks=("transcribe", "translate", "answer"),
        audio_tokens_per_s=FRAMES_PER_S / (2 * int(config.get("stack_factor", STACK))),
    )


def load(checkpoint: Checkpoint, device: str, dtype: str, options: EngineOptions) -> Model:
    """Find the language model, and the encoder where it is elsewhere; read the weights of all.

    device: a torch device string; dtype: the name of a torch dtype.
    """
    language_model, encoder = companions(checkpoint, options)
    from audiocli.engines.families.ultravox_model import load as load_model

    return load_model(checkpoint, language_model, encoder, device=device, dtype=dtype, options=options)


def companions(checkpoint: Checkpoint, options: EngineOptions) -> tuple[Checkpoint | None, Checkpoint | None]:
    """The language model and the encoder that a checkpoint points to; None where it holds its own.

    The user's language model goes before the one pointed to. Raises ModelError naming what is missing and what to do.
    """
    config = checkpoint.read_json("config.json")
    _refuse(config, options)
    text, audio = options.language_model or config.get("text_model_id"), config.get("audio_model_id")
    return (
        _language_model(checkpoint.name, str(text), options) if text else None,
        checkpoints.find(str(audio), model_dir=options.model_dir, offline=options.offline) if audio else None,
    )


def _language_model(name: str, wanted: str, options: EngineOptions) -> Checkpoint:
    try:
        return checkpoints.find(wanted, model_dir=options.model_dir, offline=options.offline)
    except ModelError as exc:
        raise ModelError(
            f"model {name!r} speaks through the language model {wanted!r}, which is not to be had: {exc}. It may be "
            "gated: accept its licence on its page of the hub and log in with 'hf auth login', or give a folder that "
            "holds it with --language-model"
        ) from exc


def _refuse(config: Settings, options: EngineOptions) -> None:
    """Whatever would load, or be ignored, and then answer nonsense."""
    audio, act = config.get("audio_config") or {}, config.get("projector_act", "swiglu")
    variants = {
        "its projector is a transformer (num_projector_layers)": config.get("num_projector_layers"),
        "its encoder hears in blocks (audio_latency_block_size)": config.get("audio_latency_block_size"),
        f"its projector's activation is {act!r}": act != "swiglu",
        f"its encoder is a {audio.get('model_type')!r}": audio.get("model_type", "whisper") != "whisper",
    }
    if found := [reason for reason, applies in variants.items() if applies]:
        raise ModelError(
            f"this Ultravox is of a kind that is not covered: {' and '.join(found)}; v0.3 to v0.6 with a Whisper "
            "encoder and a feed-forward projector are"
        )
    if not 1 <= (options.clips_per_request or 1) <= MOST_CLIPS:
        raise UsageError(f"{options.clips_per_request} clips in one request: Ultravox takes 1 to {MOST_CLIPS} here")
    if options.language_model and config.get("text_config") and not config.get("text_model_id"):
        raise UsageError("--language-model has no place here: this Ultravox holds the one it was trained with")


def _context_tokens(config: Settings, options: EngineOptions) -> int | None:
    text: Mapping[str, Any] = config.get("text_config") or {}
    if wanted := options.language_model or config.get("text_model_id"):
        try:
            text = checkpoints.find(str(wanted), model_dir=options.model_dir, offline=True).read_json("config.json")
        except ModelError:  # not downloaded yet: `load` will, or say why it cannot
            return None
    tokens = (text.get("text_config") or text).get("max_position_embeddings")
    return int(tokens) if tokens else None
