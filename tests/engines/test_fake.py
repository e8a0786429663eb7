"""The engine of tones says exactly what was put into a recording: tests of the whole road rest on it."""

from __future__ import annotations

import subprocess
import sys
from itertools import accumulate

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from audiocli import engines
from audiocli.engines import EngineOptions, Limits
from audiocli.engines.fake import LIMITS, Fake, tones
from audiocli.errors import EngineError
from audiocli.records import RATE, Reply, Request, Waveform


def hear(clip: Waveform, **settings: bool) -> Reply:
    (reply,) = Fake().generate([Request((clip,), **settings)])  # type: ignore[arg-type]
    assert isinstance(reply, Reply)
    return reply


steps = st.tuples(st.floats(0.35, 2.0), st.integers(0, 350))


@settings(deadline=None)
@given(first_s=st.floats(0, 1), told=st.lists(steps, max_size=12))
def test_each_tone_is_a_word_and_where_it_is(first_s: float, told: list[tuple[float, int]]) -> None:
    """Tones of 0.3 s, at least 50 ms apart, on any sample."""
    starts_s = list(accumulate((gap_s for gap_s, _ in told), initial=first_s))
    expected = [(start_s, number) for start_s, (_, number) in zip(starts_s, told, strict=False)]
    words = [word for segment in hear(tones(expected, 30.0), word_timestamps=True).segments for word in segment.words]
    assert [word.text for word in words] == [f" w{number}" for _, number in expected]
    for word, (start_s, _) in zip(words, expected, strict=True):
        assert word.start_s == pytest.approx(start_s, abs=0.011)
        assert word.end_s == pytest.approx(start_s + 0.3, abs=0.011)


def test_words_are_said_in_one_segment_up_to_a_pause() -> None:
    reply = hear(tones([(0.5, 1), (1.0, 2), (2.0, 3)], 5.0), word_timestamps=True)
    assert reply.text == "w1 w2 w3"
    assert [(segment.text, len(segment.words)) for segment in reply.segments] == [("w1 w2", 2), ("w3", 1)]
    assert [(segment.start_s, segment.end_s) for segment in reply.segments] == [(0.5, 1.3), (2.0, 2.3)]
    assert (reply.tokens, reply.stop, reply.language) == (3, "end", "en")


def test_words_come_only_when_asked_for() -> None:
    assert hear(tones([(0.5, 1)], 2.0)).segments[0].words == ()


def test_silence_is_an_empty_answer() -> None:
    assert hear(np.zeros(RATE, np.float32)) == Reply("", no_speech_prob=1.0)


def test_a_tone_that_the_end_cuts_off_is_heard_as_far_as_it_goes() -> None:
    (segment,) = hear(tones([(0.9, 40)], 1.0)).segments
    assert (segment.text, segment.start_s, segment.end_s) == ("w40", 0.9, 1.0)


def test_it_refuses_what_it_is_told_to_and_answers_the_rest() -> None:
    fake = Fake(refuses=lambda request: "too short" if len(request.clips[0]) < RATE else None)
    short, long = fake.generate([Request((tones([(0.1, 1)], length_s),)) for length_s in (0.5, 1.5)])
    assert isinstance(short, EngineError)
    assert str(short) == "too short"
    assert isinstance(long, Reply)
    assert long.text == "w1"
    assert fake.asked == 2


def test_it_can_stand_for_a_model_with_a_shorter_window() -> None:
    fake = Fake(limits=Limits(window_s=10.0))
    with pytest.raises(ValueError, match="longer than the 10.0 s"):
        fake.generate([Request((tones([], 10.1),))])


def test_it_is_found_by_name_and_costs_no_torch() -> None:
    plan = engines.blueprint(EngineOptions(engine="fake", model="whatever", batch_size=5))
    assert (plan.engine, plan.model, plan.limits, plan.batch_size) == ("fake", "fake", LIMITS, 5)
    code = """
import sys
from audiocli import engines
engines.blueprint(engines.EngineOptions(engine="fake")).load()
print("torch" in sys.modules, "transformers" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
