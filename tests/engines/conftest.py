"""What the engines' tests share: real speech whose words and times are known, and models that are loaded once."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile
import soxr

from audiocli import engines
from audiocli.engines import Engine, EngineOptions, Fallback
from audiocli.engines.checkpoints import EMBEDDED_FOLDER
from audiocli.records import RATE, Waveform

if TYPE_CHECKING:
    from audiocli.engines.families.whisper_decoding import Vocabulary

# before torch is imported: its threads would spin while they wait, and starve whatever else the machine runs
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"
LJSPEECH = ROOT.parent / "shared" / "audio" / "speech"


@dataclass(frozen=True, slots=True)
class Utterance:
    """What one speaker says in a recording, and when."""

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """A sample: its samples, float32 (n,) at 16 kHz, and who says what in it."""

    sound: Waveform
    utterances: tuple[Utterance, ...]

    def cut(self, start_s: float, stop_s: float) -> Waveform:
        return self.sound[round(start_s * RATE) : round(stop_s * RATE)].copy()


def read(path: Path) -> Waveform:
    """All of a recording, mixed down: float32 (n,) at 16 kHz."""
    sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return np.asarray(soxr.resample(sound.mean(1), rate, RATE), np.float32)


@cache
def _sample(name: str) -> Recording:
    told = json.loads((SAMPLES / name).with_suffix(".json").read_text(encoding="utf-8"))
    utterances = tuple(Utterance(one["start_s"], one["end_s"], one["text"]) for one in told)
    return Recording(read(SAMPLES / name), utterances)


@pytest.fixture(scope="session")
def meeting() -> Recording:
    return _sample("meeting.mp3")


@pytest.fixture(scope="session")
def pauses() -> Recording:
    return _sample("pauses.flac")


@pytest.fixture(scope="session")
def call() -> Recording:
    return _sample("call.ogg")


@pytest.fixture(scope="session")
def rain() -> Waveform:
    """Heavy rain, nobody speaks: 10 s."""
    return _sample("rain.wav").cut(0, 10)


@pytest.fixture(scope="session")
def readings() -> list[Waveform]:
    """Sentences read aloud by one person, each in a file of its own."""
    files = sorted(LJSPEECH.glob("coqui_tts__ljspeech__*.wav"))
    if not files:
        pytest.skip("the folder of real recordings is not beside the checkout")
    return [read(file) for file in files]


@pytest.fixture(scope="session")
def speech(meeting: Recording, pauses: Recording) -> list[Waveform]:
    """Clips of speech of many lengths, from half a second to a full window."""
    spans = [(27.2, 34.5), (5.6, 8.9), (35.1, 49.2), (9.2, 11.0), (1.0, 1.5), (49.6, 58.5), (59.0, 60.8)]
    return [pauses.cut(0, 30), *(meeting.cut(start_s, stop_s) for start_s, stop_s in spans)]


Folder = Callable[[str], Path]


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Small models of random weights, made when first asked for: "random" is a multilingual Whisper, "text" a Llama."""

    @cache
    def made(name: str) -> Path:
        # imported here, as they import torch, which most tests can do without
        import random_audio_llms
        import random_qwen2_audio
        import random_text
        import random_ultravox
        import random_whisper

        makers: dict[str, Callable[[Path], Path]] = {
            "random": random_whisper.make,
            "qwen2-audio": random_qwen2_audio.make,
            "ultravox": random_ultravox.make,
            "text": partial(random_text.make, "llama"),
            **{generic: partial(random_audio_llms.make, generic) for generic in GENERIC},
        }
        if name == "voxtral":
            pytest.importorskip("mistral_common", reason="mistral-common is an extra")
        return makers[name](tmp_path_factory.mktemp("models") / name)

    return made


@pytest.fixture(scope="session")
def random_folder(folder_of: Folder) -> Path:
    return folder_of("random")


@pytest.fixture(scope="session")
def qwen2_audio_folder(folder_of: Folder) -> Path:
    return folder_of("qwen2-audio")


Load = Callable[..., Engine]
EMBEDDED = ("embedded", "embedded bf16")
GENERIC = (
    "audioflamingo3",
    "glmasr",
    "granite_speech",
    "phi4_multimodal",
    "qwen2_5_omni_thinker",
    "qwen3_asr",
    "qwen3_omni_moe_thinker",
    "voxtral",
)
"""Types that the generic adapter runs, without those that are the same as their thinkers."""
CHAT = ("qwen2-audio", "ultravox", *GENERIC, "text")
"""Subjects that answer by conversation. Their random weights seldom end an answer: a small budget does."""


@pytest.fixture(scope="session")
def load(folder_of: Folder) -> Load:
    """Load an engine, once for each choice: "fake", "embedded", "embedded bf16" or a name that `folder_of` knows."""

    @cache
    def loaded(name: str, batch_size: int = 8, fallback: Fallback | None = None) -> Engine:
        folder = None if name in ("fake", *EMBEDDED) else folder_of(name)
        return engines.blueprint(options(name, folder, batch_size, fallback)).load()

    return loaded


def options(
    name: str, folder: Path | None, batch_size: int = 8, fallback: Fallback | None = None, **more: Any
) -> EngineOptions:
    """What a subject of the tests is asked for by. Random weights guess always: one attempt tells enough of them."""
    attempts = fallback or Fallback(temperatures=(0.0,) if name == "random" else (0.0, 0.4))
    chosen: dict[str, Any] = {
        "model": str(folder or "tiny.en"),
        "engine": "fake" if name == "fake" else "transformers",
        "device": "cpu",
        "dtype": "bf16" if name == "embedded bf16" else "fp32",
        "batch_size": batch_size,
        "offline": True,
        "fallback": attempts,
    }
    return EngineOptions(**{**chosen, **more})


@dataclass(frozen=True, slots=True, eq=False)
class Bare:
    """A Whisper without any of our code around it, to hold ours against."""

    model: Any
    features: Any
    tokenizer: Any
    vocabulary: Vocabulary

    def encode(self, clips: Sequence[Waveform]) -> Any:
        """Encoder states (b, 1500, d)."""
        import torch

        features = self.features(list(clips), sampling_rate=RATE, return_tensors="pt").input_features
        with torch.inference_mode():
            return self.model.model.encoder(features).last_hidden_state

    def text(self, tokens: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(tokens)))


def _bare(folder: Path) -> Bare:
    import torch
    from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizer
    from transformers.utils import logging

    from audiocli.engines.families.whisper_decoding import vocabulary

    logging.disable_progress_bar()
    # eager attention: the only kind that tells its weights
    model = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    return Bare(
        model.eval(),
        WhisperFeatureExtractor.from_pretrained(folder),
        WhisperTokenizer.from_pretrained(folder),
        vocabulary(model.generation_config, "cpu"),
    )


@pytest.fixture(scope="session")
def bare_embedded() -> Bare:
    return _bare(EMBEDDED_FOLDER)


@pytest.fixture(scope="session")
def bare_random(random_folder: Path) -> Bare:
    return _bare(random_folder)
