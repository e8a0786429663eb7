"""An engine without a model: it hears tones, and writes each as a word.

For tests of the whole road, and for trying pipelines where no model is wanted: a recording of tones says exactly which
words must come out, when, and how often. A tone of 300 + 20·n Hz is the word "w<n>"; `tones` makes such recordings.
Asked by a prompt, it answers with the words of all clips; asked about text, with the words it finds in that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from audiocli import __version__
from audiocli.engines import Blueprint, EngineOptions, Limits, check
from audiocli.errors import EngineError, ModelError
from audiocli.records import RATE, Reply, Request, Segment, Waveform, Word

LOWEST_HZ, STEP_HZ = 300.0, 20.0
FRAME = 160
"""10 ms: how finely it tells sound from silence."""
QUIET = 0.01
LIMITS = Limits(window_s=30.0, timestamps=True, word_timestamps=True, context_tokens=448)
PROMPTED = Limits(
    window_s=30.0,
    follows_prompts=True,
    text_only=True,
    context_tokens=8192,
    tasks=("transcribe", "translate", "answer"),
)
"""As an audio language model has them."""


def blueprint(options: EngineOptions) -> Blueprint:
    """A fake engine needs nothing and ignores the model's name."""
    return Blueprint(
        engine="fake",
        model="fake",
        revision=__version__,
        identity=f"fake|{__version__}",
        limits=LIMITS,
        batch_size=options.batch_size or 8,
        settings={},
        libraries={},
        load=Fake,
    )


class Fake:
    """See `audiocli.engines.Engine`.

    limits: to stand for other models. refuses: says of a request why it fails, or None; for tests of the road.
    """

    def __init__(self, limits: Limits = LIMITS, refuses: Callable[[Request], str | None] = lambda _: None) -> None:
        self.limits = limits
        self.asked = 0
        self._refuses = refuses
        self._closed = False

    def generate(self, requests: Sequence[Request]) -> Sequence[Reply | Exception]:
        if self._closed:
            raise ModelError("the engine was closed")
        check(requests, self.limits)
        self.asked += len(requests)
        return [self._answer(request) for request in requests]

    def close(self) -> None:
        """Nothing is held, but nothing is answered any more."""
        self._closed = True

    def _answer(self, request: Request) -> Reply | Exception:
        refusal = self._refuses(request)
        if refusal:
            return EngineError(refusal)
        if request.task == "answer":
            words = [word.text.strip() for clip in request.clips for word in _words(clip)]
            read = re.findall(r"\bw\d+\b", request.prompt) if not request.clips else []
            return Reply(" ".join(words + read), tokens=len(words + read))
        said = tuple(_words(request.clips[0]))
        if not said:
            return Reply("", no_speech_prob=1.0)
        segments = tuple(_segment(run, with_words=request.word_timestamps) for run in _runs(said))
        return Reply(" ".join(segment.text for segment in segments), segments, tokens=len(said), language="en")


def tones(words: Sequence[tuple[float, int]], length_s: float, tone_s: float = 0.3) -> Waveform:
    """A recording that says given words. words: (second, number) pairs. Returns float32 (length_s · 16000,)."""
    samples = np.zeros(round(length_s * RATE), np.float32)
    time_s = np.arange(round(tone_s * RATE)) / RATE
    for start_s, number in words:
        start = round(start_s * RATE)
        tone = 0.5 * np.sin(2 * np.pi * (LOWEST_HZ + STEP_HZ * number) * time_s)
        samples[start : start + len(tone)] += tone[: max(len(samples) - start, 0)].astype(np.float32)
    return samples


def _words(clip: Waveform) -> Iterator[Word]:
    frames = np.pad(clip, (0, -len(clip) % FRAME)).reshape(-1, FRAME)
    loud = np.concatenate([[False], np.abs(frames).max(1) > QUIET, [False]])
    edges = np.flatnonzero(loud[1:] != loud[:-1])
    for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        start, stop = first * FRAME, min(last * FRAME, len(clip))
        spectrum = np.abs(np.fft.rfft(clip[start:stop] * np.hanning(stop - start), RATE))
        number = round((int(spectrum.argmax()) - LOWEST_HZ) / STEP_HZ)
        yield Word(round(start / RATE, 3), round(stop / RATE, 3), f" w{number}", 1.0)


def _runs(words: Sequence[Word], pause_s: float = 0.5) -> list[list[Word]]:
    """Words said without a longer pause between them."""
    runs = [[words[0]]]
    for word in words[1:]:
        if word.start_s - runs[-1][-1].end_s > pause_s:
            runs.append([])
        runs[-1].append(word)
    return runs


def _segment(run: Sequence[Word], *, with_words: bool) -> Segment:
    text = "".join(word.text for word in run).strip()
    return Segment(run[0].start_s, run[-1].end_s, text, tuple(run) if with_words else (), confidence=1.0)
