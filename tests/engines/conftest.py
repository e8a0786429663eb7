"""What the engines' tests share: real speech whose words and times are known, and models that are loaded once."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
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


@pytest.fixture(scope="session")
def random_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small multilingual Whisper with random weights."""
    import random_whisper

    return random_whisper.make(tmp_path_factory.mktemp("models") / "random")


Load = Callable[..., Engine]


@pytest.fixture(scope="session")
def load(random_folder: Path) -> Load:
    """Load an engine, once for each choice: "fake", "embedded", "embedded bf16" or "random", and its options."""

    @cache
    def loaded(name: str, batch_size: int = 8, fallback: Fallback | None = None) -> Engine:
        return engines.blueprint(options(name, random_folder, batch_size, fallback)).load()

    return loaded


def options(name: str, random_folder: Path, batch_size: int = 8, fallback: Fallback | None = None) -> EngineOptions:
    """What a subject of the tests is asked for by. Random weights guess always: one attempt tells enough of them."""
    attempts = fallback or Fallback(temperatures=(0.0,) if name == "random" else (0.0, 0.4))
    return EngineOptions(
        model=str(random_folder) if name == "random" else "tiny.en",
        engine="fake" if name == "fake" else "transformers",
        device="cpu",
        dtype="bf16" if name == "embedded bf16" else "fp32",
        batch_size=batch_size,
        offline=True,
        fallback=attempts,
    )


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
