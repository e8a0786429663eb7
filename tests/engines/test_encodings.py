"""Encoded clips are kept a while, by what is in them, and never more of them than there is room for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Recording, options

from audiocli import engines
from audiocli.engines.families.encodings import Encodings
from audiocli.records import Request, Waveform

BYTES = 4 * 10
"""Of one encoding here."""


class Encoder:
    """Encodes a clip as its first sample, ten times, and notes which clips it was asked for."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    def __call__(self, clips: Sequence[Waveform]) -> list[torch.Tensor]:
        assert clips, "not to be asked for nothing"
        self.asked += [float(clip[0]) for clip in clips]
        return [torch.full((10,), float(clip[0])) for clip in clips]


def clips(*values: float) -> list[Waveform]:
    return [np.full(100, value, np.float32) for value in values]


def test_the_same_samples_are_encoded_once() -> None:
    """In one call, and in the next."""
    encodings, encoder = Encodings(), Encoder()
    first = encodings.get(clips(1, 2, 1), encoder)
    assert [float(one[0]) for one in first] == [1, 2, 1]
    again = encodings.get(clips(2, 3, 1), encoder)
    assert [float(one[0]) for one in again] == [2, 3, 1]
    assert again[2] is first[0]
    assert encoder.asked == [1, 2, 3]


def test_nothing_is_encoded_of_nothing() -> None:
    assert Encodings().get([], Encoder()) == []


def test_clips_that_differ_in_one_sample_are_told_apart() -> None:
    encodings, encoder = Encodings(), Encoder()
    one, other = clips(1, 1)
    other[-1] = 0.5
    encodings.get([one, other], encoder)
    assert len(encoder.asked) == 2


def test_the_one_asked_for_longest_ago_goes_first() -> None:
    encodings, encoder = Encodings(most_bytes=2 * BYTES), Encoder()
    for value in (1, 2, 1, 3, 1, 2):
        assert encodings.get(clips(value), encoder)[0][0] == value
    assert encoder.asked == [1, 2, 3, 2]


def test_more_at_once_than_there_is_room_for_are_all_given() -> None:
    """And of those the last are kept, with one that was there before among them."""
    encodings, encoder = Encodings(most_bytes=2 * BYTES), Encoder()
    encodings.get(clips(1), encoder)
    assert [float(one[0]) for one in encodings.get(clips(2, 3, 4, 1), encoder)] == [2, 3, 4, 1]
    encoder.asked.clear()
    encodings.get(clips(4, 1, 3), encoder)
    assert encoder.asked == [3]


def test_a_slice_counts_with_all_that_it_holds_on_to() -> None:
    encodings, encoder = Encodings(most_bytes=2 * BYTES), Encoder()
    encodings.get(clips(1), encoder)
    encodings.get(clips(2), lambda _: [torch.zeros(20)[:1]])
    encodings.get(clips(1), encoder)
    assert encoder.asked == [1, 1]


def test_what_alone_exceeds_the_bound_is_given_and_drives_nothing_out() -> None:
    encodings, encoder = Encodings(most_bytes=BYTES), Encoder()
    encodings.get(clips(1), encoder)
    assert encodings.get(clips(2), lambda _: [torch.zeros(11)])[0].shape == (11,)
    encodings.get(clips(1), encoder)
    assert encoder.asked == [1]


def test_a_failure_leaves_nothing_behind() -> None:
    encodings, encoder = Encodings(), Encoder()

    def fail(_: object) -> list[torch.Tensor]:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        encodings.get(clips(1), fail)
    assert encodings.get(clips(1), encoder)[0][0] == 1


# ---- in the models that have one


def ear_of(chat: Any) -> tuple[torch.nn.Module, Callable[[Any], int]]:
    """The encoder in a loaded model, and how many clips it hears in one call, from what it is given."""
    if hasattr(chat._model, "model") and hasattr(chat._model.model, "audio_tower"):
        return chat._model.model.audio_tower, lambda given: len(given[0])
    return chat._prepare.__self__._ear, lambda given: 1


@pytest.mark.parametrize("name", ["qwen2-audio", "ultravox"])
def test_a_clip_that_is_asked_three_things_is_encoded_once(
    name: str, folder_of: Callable[[str], Path], meeting: Recording
) -> None:
    """In one batch, in batches of one, and in calls one after the other; and the answers are those of each alone."""
    asked = [
        Request((clip,), prompt, task="answer", max_new_tokens=8)
        for prompt in ("Who speaks?", "What is decided?", "Where are they?")
        for clip in (meeting.cut(5.6, 8.9), meeting.cut(35.1, 49.2))
    ]
    alone = []
    for pair in (asked[:2], asked[2:4], asked[4:]):
        fresh = engines.blueprint(options(name, folder_of(name))).load()
        alone += [fresh.generate([request])[0] for request in pair]
    for batch_size, calls in ((8, [asked]), (1, [asked]), (8, [asked[:2], asked[2:4], asked[4:]])):
        engine = engines.blueprint(options(name, folder_of(name), batch_size)).load()
        ear, count = ear_of(engine._model)  # type: ignore[attr-defined]
        heard: list[int] = []
        ear.register_forward_hook(lambda _, given, made, heard=heard, count=count: heard.append(count(given)))
        replies = [reply for call in calls for reply in engine.generate(call)]
        assert sum(heard) == 2
        for one, other in zip(replies, alone, strict=True):
            assert replace(one, avg_logprob=None) == replace(other, avg_logprob=None)  # type: ignore[type-var]
            assert one.avg_logprob == pytest.approx(other.avg_logprob, abs=1e-3)  # type: ignore[union-attr]
