"""Encoded clips are kept a while, by what is in them, and never more of them than there is room for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from audiocli.engines.families.encodings import Encodings
from audiocli.records import Waveform

BYTES = 4 * 10
"""Of one encoding here."""


class Encoder:
    """Encodes a clip as its first sample, ten times, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    def __call__(self, clip: Waveform) -> torch.Tensor:
        self.asked.append(float(clip[0]))
        return torch.full((10,), float(clip[0]))


def clip(value: float) -> Waveform:
    return np.full(100, value, np.float32)


def test_the_same_samples_are_encoded_once() -> None:
    encodings, encoder = Encodings(), Encoder()
    first, again = encodings.get(clip(1), encoder), encodings.get(clip(1), encoder)
    assert torch.equal(first, torch.full((10,), 1.0))
    assert again is first
    assert encoder.asked == [1]


def test_clips_that_differ_in_one_sample_are_told_apart() -> None:
    encodings, encoder = Encodings(), Encoder()
    other = clip(1)
    other[-1] = 0.5
    encodings.get(clip(1), encoder)
    encodings.get(other, encoder)
    assert len(encoder.asked) == 2


def test_the_one_asked_for_longest_ago_goes_first() -> None:
    encodings, encoder = Encodings(most_bytes=2 * BYTES), Encoder()
    for value in (1, 2, 1, 3, 1, 2):
        assert encodings.get(clip(value), encoder)[0] == value
    assert encoder.asked == [1, 2, 3, 2]


def test_a_slice_counts_with_all_that_it_holds_on_to() -> None:
    encodings, encoder = Encodings(most_bytes=2 * BYTES), Encoder()
    encodings.get(clip(1), encoder)
    encodings.get(clip(2), lambda _: torch.zeros(20)[:1])
    encodings.get(clip(1), encoder)
    assert encoder.asked == [1, 1]


def test_what_alone_exceeds_the_bound_is_given_and_drives_nothing_out() -> None:
    encodings, encoder = Encodings(most_bytes=BYTES), Encoder()
    encodings.get(clip(1), encoder)
    assert encodings.get(clip(2), lambda _: torch.zeros(11)).shape == (11,)
    encodings.get(clip(1), encoder)
    assert encoder.asked == [1]


def test_a_failure_leaves_nothing_behind() -> None:
    encodings, encoder = Encodings(), Encoder()

    def fail(_: Waveform) -> torch.Tensor:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        encodings.get(clip(1), fail)
    assert encodings.get(clip(1), encoder)[0] == 1
