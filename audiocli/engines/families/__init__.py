"""Families: what is particular to one model type, keyed on `model_type` in its config.json.

A family is light until its `load` is called: limits come from the checkpoint's JSON files alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from audiocli.engines import EngineOptions, Limits
from audiocli.engines.checkpoints import Checkpoint
from audiocli.errors import ModelError
from audiocli.records import Reply, Request

Settings = Mapping[str, Any]


class Model(Protocol):
    """A loaded model. Its batches hold requests of one kind: same task, language and prompt."""

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


_HERE = "audiocli.engines.families"
_GENERIC = FamilySpec(f"{_HERE}.generic", gpu_dtype="bfloat16", batch_cpu=4, batch_gpu=16)

FAMILIES: dict[str, FamilySpec] = {
    "whisper": FamilySpec(f"{_HERE}.whisper", gpu_dtype="float16", batch_cpu=8, batch_gpu=32),
    "qwen2_audio": FamilySpec(f"{_HERE}.qwen2_audio", gpu_dtype="bfloat16", batch_cpu=4, batch_gpu=16),
    "ultravox": FamilySpec(f"{_HERE}.ultravox", gpu_dtype="bfloat16", batch_cpu=4, batch_gpu=16),
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
    """What a checkpoint can do. Raises ModelError where its JSON files are not what the family reads."""
    try:
        return family.limits(config, checkpoint.read_json("generation_config.json"), options)
    except (AttributeError, LookupError, TypeError, ValueError) as exc:
        raise ModelError(f"model {checkpoint.name!r}: its configuration cannot be used: {exc}") from exc


def of(config: Settings, name: str) -> tuple[FamilySpec, Family]:
    """The family of a checkpoint. Raises ModelError naming the families there are."""
    model_type = str(config.get("model_type"))
    if model_type not in FAMILIES:
        raise ModelError(f"model {name!r} is of type {model_type!r}; this version runs {', '.join(FAMILIES)}")
    spec = FAMILIES[model_type]
    return spec, import_module(spec.module)  # type: ignore[return-value]
