"""Families: what is particular to one model type, keyed on `model_type` in its config.json.

A family is light until its `load` is called: limits come from the checkpoint's JSON files alone.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Protocol

from audiocli.engines import EngineOptions, Limits, Sampling
from audiocli.engines.checkpoints import Checkpoint
from audiocli.errors import ModelError, UsageError
from audiocli.records import Reply, Request

Settings = Mapping[str, Any]


class Model(Protocol):
    """A loaded model. Its batches hold requests of one kind."""

    def kind(self, request: Request) -> Hashable:
        """Requests of equal kind may share a batch."""
        ...

    def size(self, request: Request) -> int:
        """Tokens of context that it takes at most, its answer included; more than the model has is refused."""
        ...

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        """One Reply per request, in order. May raise torch's out-of-memory error; the engine then halves the batch."""
        ...


class Family(Protocol):
    """A module in this folder."""

    @staticmethod
    def limits(config: Settings, generation: Settings, options: EngineOptions) -> Limits:
        """From config.json and generation_config.json. Whatever is wrong with them may be raised as it comes."""
        ...

    @staticmethod
    def load(checkpoint: Checkpoint, device: str, dtype: str, options: EngineOptions) -> Model: ...


@dataclass(frozen=True, slots=True)
class FamilySpec:
    """Where a family lives, and how it likes to run."""

    module: str
    gpu_dtype: str
    batch_cpu: int
    batch_gpu: int
    takes: tuple[str, ...] = ()
    """Which of `OPTIONAL` it can use."""


OPTIONAL: dict[str, object] = {
    "sampling": Sampling(),
    "clips_per_request": None,
    "downsample": None,
    "language_model": None,
    "quantize": None,
    "attention": None,
    "compile": False,
}
"""Fields of EngineOptions that not every family can use, and what they are when nobody asks for anything."""
FLAGS = {"sampling": "--top-p, --repetition-penalty, --max-new-tokens or --seed", "attention": "--attn"}
"""What users know them by, where that is not their name."""
CHAT = ("sampling", "quantize", "attention", "compile")
"""What every model with a language model behind it can use."""

_HERE = "audiocli.engines.families"
_GENERIC = FamilySpec(
    f"{_HERE}.generic", gpu_dtype="bfloat16", batch_cpu=4, batch_gpu=16, takes=(*CHAT, "clips_per_request")
)
TEXT = FamilySpec(f"{_HERE}.text", gpu_dtype="bfloat16", batch_cpu=4, batch_gpu=16, takes=CHAT)
"""Language models without ears: for questions about text."""

FAMILIES: dict[str, FamilySpec] = {
    "whisper": FamilySpec(f"{_HERE}.whisper", gpu_dtype="float16", batch_cpu=8, batch_gpu=32),
    "qwen2_audio": FamilySpec(
        f"{_HERE}.qwen2_audio",
        gpu_dtype="bfloat16",
        batch_cpu=4,
        batch_gpu=16,
        takes=(*CHAT, "clips_per_request", "downsample"),
    ),
    "ultravox": FamilySpec(
        f"{_HERE}.ultravox",
        gpu_dtype="bfloat16",
        batch_cpu=4,
        batch_gpu=16,
        takes=(*CHAT, "clips_per_request", "language_model"),
    ),
    "audioflamingo3": _GENERIC,
    "gemma3n": _GENERIC,
    "glmasr": _GENERIC,
    "granite_speech": _GENERIC,
    "phi4_multimodal": _GENERIC,
    "qwen2_5_omni": _GENERIC,
    "qwen2_5_omni_thinker": _GENERIC,
    "qwen3_asr": _GENERIC,
    "qwen3_omni_moe": _GENERIC,
    "qwen3_omni_moe_thinker": _GENERIC,
    "voxtral": _GENERIC,
}


def limits(family: Family, checkpoint: Checkpoint, config: Settings, options: EngineOptions) -> Limits:
    """What a checkpoint can do.

    Raises ModelError where its JSON files are not what the family reads, UsageError where more is asked than it has.
    """
    try:
        return family.limits(config, checkpoint.read_json("generation_config.json"), options)
    except UsageError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError) as exc:
        raise ModelError(f"model {checkpoint.name!r}: its configuration cannot be used: {exc}") from exc


def of(config: Settings, name: str) -> tuple[FamilySpec, Family]:
    """The family of a checkpoint, by its type, else by what it is made of. Raises ModelError naming the types known."""
    model_type = str(config.get("model_type"))
    spec = FAMILIES.get(model_type) or _by_parts(config)
    if spec is None:
        raise ModelError(f"model {name!r} is of type {model_type!r}; this version runs {', '.join(FAMILIES)}")
    return spec, import_module(spec.module)  # type: ignore[return-value]


def _by_parts(config: Settings) -> FamilySpec | None:
    """For types that are not in the table: whatever hears and speaks, or reads and speaks."""
    if import_module(_GENERIC.module).hears(config):
        return _GENERIC
    return TEXT if import_module(TEXT.module).reads(config) else None


def asked(options: EngineOptions) -> dict[str, object]:
    """Those of `OPTIONAL` that were asked for.

    One clip in a message is what every model takes; and every model is told its temperature, Whisper by its fallback.
    """
    values = {name: getattr(options, name) for name in OPTIONAL}
    values["sampling"] = replace(options.sampling, temperature=0.0)
    values["clips_per_request"] = None if options.clips_per_request == 1 else options.clips_per_request
    return {name: value for name, value in values.items() if value != OPTIONAL[name]}


def refuse(spec: FamilySpec, name: str, options: EngineOptions) -> None:
    """Raises UsageError for an option that the model would not heed, with the types of model that do."""
    for option in asked(options):
        if option not in spec.takes:
            able = ", ".join(model_type for model_type, other in FAMILIES.items() if option in other.takes)
            flags = FLAGS.get(option, f"--{option.replace('_', '-')}")
            raise UsageError(f"model {name!r} has no use for {flags}; models of these types do: {able}")


def companions(family: Family, checkpoint: Checkpoint, options: EngineOptions) -> tuple[Checkpoint, ...]:
    """The checkpoints that one only points to, such as its language model's. Raises ModelError where one is missing.

    A family that has such checkpoints says so by a function of this name.
    """
    find = getattr(family, "companions", None)
    try:
        return tuple(part for part in find(checkpoint, options) if part is not None) if find else ()
    except (AttributeError, LookupError, TypeError) as exc:
        raise ModelError(f"model {checkpoint.name!r}: its configuration cannot be used: {exc}") from exc
