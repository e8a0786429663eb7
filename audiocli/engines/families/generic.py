"""Audio-LLMs that transformers runs and talks to by chat template: what is particular to each of them, as a table.

In go the JSON files of a checkpoint, out come its Limits: how much it hears, what it can be asked, and how many tokens
a clip takes of its context. Light; the models are in generic_model. A type that is not in the table is taken with
caution: half a minute at once, which every known model hears whole.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

from audiocli.engines import EngineOptions, Limits
from audiocli.errors import ModelError, UsageError
from audiocli.records import RATE, Task

if TYPE_CHECKING:
    from audiocli.engines.checkpoints import Checkpoint
    from audiocli.engines.families import Model, Settings

Inputs = Literal["processor", "thinker", "turns", "mistral"]
"""How a prompt is laid out: by the processor and its template; by the tokenizer's template, with features of our own
asking, where the processor wants pictures too; by turns written here; by Mistral's own tokenizer."""

LONGEST_S = 300.0
"""A chunk: nothing longer is ever asked at once, whatever a model could hear."""
CAUTIOUS_S = 30.0
"""For models whose makers do not say how long they hear: all are known to hear this, Whisper's window, whole."""
SHORTEST = RATE // 10
"""Samples. Shorter clips are filled up with silence: some encoders make no token at all of less."""
ALL_TASKS: tuple[Task, ...] = ("transcribe", "translate", "answer")
HOP = 160
"""Samples between two frames of every feature extractor here: 10 ms."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Row:
    """What is particular to one model type."""

    window_s: float = CAUTIOUS_S
    """What its processor and encoder take whole; some cut off the rest without a word."""
    tokens_per_s: float = 50.0
    """Of the context; where it is not known, as many as Whisper's encoder has states: none here takes more."""
    tokens: Callable[[int], int] | None = None
    """Placeholders for a clip of so many samples, exactly; None where it is not known."""
    most_clips: int = 1
    tasks: tuple[Task, ...] = ALL_TASKS
    follows_prompts: bool = True
    text_only: bool = True
    languages: tuple[str, ...] = ()
    mixes: bool = True
    """Whether clips of several lengths can share a batch; not where its encoder does not mask what fills them up."""
    unit: int = 0
    """Samples that its encoder takes at a time. Where no clip of a batch is as long, all are filled up to the longest,
    and change by it: such clips share a batch with those of their length."""
    inputs: Inputs = "processor"
    requests: bool = False
    """Whether transcripts are asked for in a way of its own ("transcription request") and not by a prompt."""
    needs: tuple[str, ...] = ()
    """Modules that must be importable, by the names they are installed by."""
    refused: str | None = None
    """Why this version does not run it."""


def _pooled(frames: int) -> int:
    """Two strides of 2, the second without padding: 25 tokens a second (Whisper's encoder and an average pool)."""
    return ((frames - 1) // 2 + 1 - 2) // 2 + 1


def _tens(frames: int) -> int:
    """Three strides of 2 within each second, 13 tokens for a full one (Qwen3's audio encoder)."""
    whole, rest = divmod(frames, 100)
    for _ in range(3):
        rest = (rest - 1) // 2 + 1
    return 13 * whole + rest


def _up(value: int, unit: int) -> int:
    return -(-value // unit)


def _flamingo(samples: int) -> int:
    return _pooled(_up(samples, HOP))


def _glm(samples: int) -> int:
    return ((_up(samples, HOP) - 1) // 2 + 1) // 4


def _granite(samples: int) -> int:
    """Pairs of frames, in blocks of 15, of which the projector makes 3 each."""
    return _up((samples // HOP + 1) // 2, 15) * 3


def _phi4(samples: int) -> int:
    """Frames of 25 ms that lie wholly inside the clip, 8 to a token."""
    return _up((samples - 400) // HOP + 1, 8)


def _qwen3_asr(samples: int) -> int:
    """Its feature extractor fills up half a second."""
    return _tens(max(samples, RATE // 2) // HOP)


def _qwen3_omni(samples: int) -> int:
    return _tens(samples // HOP)


def _voxtral(samples: int) -> int:
    """Padded to whole half minutes of 1,500 encoder states, 4 to a token."""
    return 375 * _up(samples, 30 * RATE)


_QWEN2_5_OMNI = Row(
    window_s=300.0,  # its feature extractor's chunk_length: the rest is cut off silently
    tokens_per_s=25.0,
    tokens=_flamingo,
    most_clips=10,
    inputs="thinker",
)
_QWEN3_OMNI = Row(
    window_s=LONGEST_S,  # its makers name 40 minutes
    tokens_per_s=13.0,
    tokens=_qwen3_omni,
    most_clips=10,
    unit=RATE,
    inputs="thinker",
)
_QWEN3_ASR_LANGUAGES = "ar cs da de el en es fa fi fr hi hu id it ja ko mk ms nl pl pt ro ru sv th tr vi zh"

ROWS: dict[str, Row] = {
    "audioflamingo3": Row(
        window_s=LONGEST_S,  # its processor cuts at 600 s, with a warning
        tokens_per_s=25.0,
        tokens=_flamingo,
    ),
    "gemma3n": Row(refused="its configuration and processor need timm and torchvision, even for audio alone"),
    "glmasr": Row(
        window_s=LONGEST_S,  # its processor cuts at 655 s, with a warning
        tokens_per_s=12.5,
        tokens=_glm,
        tasks=("transcribe",),
        follows_prompts=False,
        text_only=False,
        requests=True,
    ),
    "granite_speech": Row(
        tokens_per_s=10.0,
        tokens=_granite,
        tasks=("transcribe", "translate"),
        follows_prompts=False,
        text_only=False,
        mixes=False,
        inputs="turns",
    ),
    "phi4_multimodal": Row(
        window_s=40.0,  # its makers' advice for all but summaries
        tokens_per_s=12.5,
        tokens=_phi4,
        mixes=False,
        inputs="turns",
    ),
    "qwen2_5_omni": _QWEN2_5_OMNI,
    "qwen2_5_omni_thinker": _QWEN2_5_OMNI,
    "qwen3_asr": Row(
        window_s=LONGEST_S,  # its makers' own code cuts at 1,200 s
        tokens_per_s=13.0,
        tokens=_qwen3_asr,
        tasks=("transcribe",),
        follows_prompts=False,
        text_only=False,
        languages=tuple(_QWEN3_ASR_LANGUAGES.split()),
        requests=True,
    ),
    "qwen3_omni_moe": _QWEN3_OMNI,
    "qwen3_omni_moe_thinker": _QWEN3_OMNI,
    "voxtral": Row(
        window_s=LONGEST_S,  # its makers name 30 minutes for transcripts, 40 for questions
        tokens_per_s=12.5,
        tokens=_voxtral,
        most_clips=10,
        languages=("de", "en", "es", "fr", "hi", "it", "nl", "pt"),
        inputs="mistral",
        requests=True,
        needs=("mistral-common",),
    ),
}
UNKNOWN = Row()
"""Asked by its template alone; whether it hears a whole window is tried when it is loaded."""


def row(config: Settings) -> Row:
    """What is known of a checkpoint's type."""
    return ROWS.get(str(config.get("model_type")), UNKNOWN)


def hears(config: Settings) -> bool:
    """Whether a configuration tells of a language model with ears: what this family can try to run."""
    parts = [config, config.get("thinker_config") or {}]
    ears = ("audio_config", "audio_encoder_config", "audio_token_id", "audio_token_index")
    hear = any(part.get(name) is not None for part in parts for name in ears)
    return hear and any(part.get("text_config") or part.get("vocab_size") for part in parts)


def limits(config: Settings, generation: Settings, options: EngineOptions) -> Limits:
    """Raises ModelError for a type that cannot be run here, UsageError for more clips than it was made for."""
    kind, known = str(config.get("model_type")), row(config)
    if known.refused:
        raise ModelError(f"models of type {kind} are not run by this version: {known.refused}")
    if absent := missing(known.needs + (("peft",) if config.get("has_lora_adapter") else ())):
        raise ModelError(f"models of type {kind} need {absent}: pip install {absent}")
    clips = options.clips_per_request or 1
    if clips > known.most_clips:
        raise UsageError(f"models of type {kind} take {known.most_clips} clips in one message at most, not {clips}")
    return Limits(
        window_s=known.window_s,
        clips_per_request=clips,
        follows_prompts=known.follows_prompts,
        text_only=known.text_only,
        context_tokens=context_tokens(config),
        languages=known.languages,
        tasks=known.tasks,
        audio_tokens_per_s=known.tokens_per_s,
    )


def missing(packages: Sequence[str]) -> str | None:
    """The first of these that is not installed. packages: as they are installed; imported with "_" for "-"."""
    return next((package for package in packages if find_spec(package.replace("-", "_")) is None), None)


def context_tokens(config: Settings) -> int | None:
    """Positions of the language model, wherever the configuration keeps it; None where it names no end."""
    whole = config.get("thinker_config") or config
    text = whole.get("text_config") or whole
    names = ("max_position_embeddings", "n_positions", "max_sequence_length")
    return next((int(text[name]) for name in names if text.get(name)), None)


def load(checkpoint: Checkpoint, device: str, dtype: str, options: EngineOptions) -> Model:
    """Read the weights. device: a torch device string; dtype: the name of a torch dtype."""
    from audiocli.engines.families.generic_model import Generic

    config = checkpoint.read_json("config.json")
    if row(config) is UNKNOWN:
        log.warning(
            "%s: models of type %s are not known to this version; asked by its chat template, half a minute at once",
            checkpoint.name,
            config.get("model_type"),
        )
    return Generic(checkpoint, device, dtype, options)
