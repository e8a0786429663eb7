"""What every engine promises, asked of every engine: the fake, the embedded Whisper, and random ones of each family.

What an engine has no use for is told by its Limits, never by its name.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from conftest import CHAT, Load, Recording

from audiocli.engines import Engine, Limits
from audiocli.engines.fake import tones
from audiocli.engines.families import Model
from audiocli.engines.transformers_ import TransformersEngine
from audiocli.errors import ModelError
from audiocli.records import RATE, Reply, Request, Segment, Waveform, Word

NAMES = ["fake", "embedded", "embedded bf16", "random", *CHAT]


BUDGET = 10
"""Tokens of an answer of random weights, which seldom end one. Whisper takes what it needs."""
TEXTS = ("What is a harbour? " * 12, "Who speaks?", "Put these notes together: " * 5, "Why?", "Where are they? " * 3)
"""Of several lengths, for engines that only read."""


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """An engine under test, and what it has something to say about: requests that differ in clips, or else in words."""

    name: str
    load: Load
    requests: list[Request]

    def engine(self, batch_size: int = 8) -> Engine:
        return self.load(self.name, batch_size)

    @property
    def limits(self) -> Limits:
        return self.engine().limits

    @property
    def hears(self) -> bool:
        return self.limits.clips_per_request > 0

    def ask(self, requests: Sequence[Request], batch_size: int = 8) -> list[Reply]:
        replies = self.engine(batch_size).generate(requests)
        assert len(replies) == len(requests)
        assert all(isinstance(reply, Reply) for reply in replies), replies
        return [reply for reply in replies if isinstance(reply, Reply)]


def said_in_tones(lengths_s: Sequence[float]) -> list[Waveform]:
    """Clips that say different words to the fake engine, about one a second."""
    source = random.Random(1)
    return [
        tones([(second + 0.1, source.randrange(300)) for second in range(int(length_s))] or [(0.0, 7)], length_s)
        for length_s in lengths_s
    ]


@pytest.fixture(scope="module", params=NAMES)
def subject(request: pytest.FixtureRequest, load: Load, speech: list[Waveform]) -> Subject:
    name: str = request.param
    limits = load(name).limits
    if not limits.clips_per_request:
        texts = [Request((), text, task="answer", max_new_tokens=BUDGET) for text in TEXTS]
        return Subject(name, load, texts)
    clips = said_in_tones([len(clip) / RATE for clip in speech]) if name == "fake" else speech
    # the embedded model takes a second for a clip, and longer in half precision where the processor does not have it
    few = {"embedded bf16": [4, 5, 2], "fake": range(len(clips)), "random": range(len(clips))}.get(
        name, [0, 1, 2, 4, 5]
    )
    return Subject(name, load, [plain(limits, clips[index]) for index in few])


def plain(limits: Limits, clip: Waveform) -> Request:
    """What is asked of a clip where nothing else matters, with words where the engine times them."""
    prompt = "Write down every word." if limits.follows_prompts else ""
    budget = None if limits.timestamps else BUDGET
    return Request((clip,), prompt, word_timestamps=limits.word_timestamps, max_new_tokens=budget)


@pytest.fixture(scope="module")
def alone(subject: Subject) -> list[Reply]:
    """What the engine says of each clip when it hears no other, with words where it has them."""
    return [subject.ask([request])[0] for request in subject.requests]


def agree(subject: Subject, one: Reply, other: Reply) -> bool:
    """The same answer. Numbers may differ by what sums in another order do; in half precision that is a lot more."""
    near, far_s = (0.05, 0.3) if subject.name == "embedded bf16" else (1e-3, 1e-6)
    return (
        _bare(one) == _bare(other)
        and np.allclose(_numbers(one), _numbers(other), atol=near)
        and np.allclose(_times(one), _times(other), atol=far_s)
    )


def _bare(reply: Reply) -> object:
    """All that is not a number, the shape, and the count of tokens."""
    texts = tuple((segment.text, tuple(word.text for word in segment.words)) for segment in reply.segments)
    return reply.text, texts, reply.tokens, reply.stop, reply.language, reply.temperature, reply.unreliable is None


def _spans(reply: Reply) -> list[Segment | Word]:
    return [span for segment in reply.segments for span in (segment, *segment.words)]


def _times(reply: Reply) -> list[float]:
    return [time_s for span in _spans(reply) for time_s in (span.start_s, span.end_s)]


def _numbers(reply: Reply) -> list[float]:
    of_reply = [reply.avg_logprob, reply.no_speech_prob, reply.compression_ratio]
    return [number or 0.0 for number in of_reply + [span.confidence for span in _spans(reply)]]


# ---- order and company


def test_the_requests_are_told_apart(alone: list[Reply]) -> None:
    """Else the tests of order below prove nothing."""
    assert len({(reply.text, reply.segments, reply.avg_logprob) for reply in alone}) == len(alone)
    assert len({reply.text for reply in alone}) > 1


@pytest.mark.parametrize("batch_size", [8, 3])
def test_a_batch_answers_in_order_and_as_its_members_alone(
    subject: Subject, alone: list[Reply], batch_size: int
) -> None:
    """One of them is asked twice."""
    if subject.name == "embedded bf16" and batch_size == 8:
        pytest.skip("half precision is slow on many processors: one size tells enough")
    order = random.Random(batch_size).sample([2, *range(len(alone))], len(alone) + 1)
    replies = subject.ask([subject.requests[index] for index in order], batch_size)
    for index, reply in zip(order, replies, strict=True):
        assert agree(subject, reply, alone[index]), (reply, alone[index])


def test_requests_of_several_kinds_in_one_call_are_each_answered_as_asked(subject: Subject) -> None:
    limits = subject.limits
    kinds: list[Callable[[Request], Request]] = [
        lambda request: request,
        lambda request: replace(request, initial_prompt="Peter, David, Helen"),
        lambda request: replace(request, language="en"),
        lambda request: replace(request, word_timestamps=False),
        lambda request: replace(request, task=limits.tasks[-1]),
    ]
    if limits.follows_prompts:
        kinds.append(lambda request: replace(request, prompt="Who speaks?", system="You listen.", max_new_tokens=7))
        kinds.append(lambda request: replace(request, temperature=0.7))
    if limits.follows_prompts and limits.text_only:
        kinds.append(lambda request: replace(request, clips=(), prompt="What is a harbour?", task="answer"))
    # words take the embedded model as long as the answer itself, and half precision longer
    kinds = {"embedded": kinds[1:5], "embedded bf16": kinds[-2:]}.get(subject.name, kinds)
    mixed = [kind(subject.requests[-1 - index % 2]) for index, kind in enumerate(kinds)]
    together = subject.ask(mixed)
    for request, reply in zip(mixed, together, strict=True):
        assert agree(subject, reply, subject.ask([request])[0])
        assert any(segment.words for segment in reply.segments) == (request.word_timestamps and bool(reply.text))


def test_several_questions_on_one_clip_are_each_answered_as_alone(subject: Subject) -> None:
    """In one batch, as the first of a call, and after others: whatever is kept of a clip between them."""
    if not (subject.limits.follows_prompts and subject.hears):
        pytest.skip("it does not take questions about audio")
    about = replace(subject.requests[1], task="answer")
    asked = [replace(about, prompt=prompt) for prompt in ("Who speaks?", "What is decided?", "Where are they?")]
    together = subject.ask([asked[0], subject.requests[2], *asked[1:]])
    replies = [together[0], *together[2:]]
    assert len({(reply.text, reply.avg_logprob) for reply in replies}) == len(asked)
    for request, reply in zip(asked, replies, strict=True):
        assert agree(subject, reply, subject.ask([request])[0])


def test_asking_again_gives_the_same_answer(subject: Subject, alone: list[Reply]) -> None:
    assert subject.ask([subject.requests[2]]) == [alone[2]]


def test_nothing_asked_is_nothing_answered(subject: Subject) -> None:
    assert list(subject.engine().generate([])) == []


# ---- nothing is cut off or ignored


def test_a_full_window_is_heard_to_its_end(subject: Subject, pauses: Recording) -> None:
    if not subject.hears:
        pytest.skip("it does not hear")
    assert subject.limits.window_s >= 30.0
    if not subject.limits.timestamps:
        whole = pauses.sound[: 30 * RATE]
        cut = np.concatenate([whole[:-RATE], pauses.cut(5, 6)])
        heard, other = subject.ask([plain(subject.limits, clip) for clip in (whole, cut)])
        assert (heard.text, heard.avg_logprob) != (other.text, other.avg_logprob)
        return
    sound = tones([(27.0, 3)], 30.0) if subject.name == "fake" else pauses.sound
    for reply in subject.ask([Request((sound[:length],)) for length in (30 * RATE - 160, 30 * RATE)]):
        assert reply.segments[-1].end_s > 27


@pytest.mark.parametrize(
    ("lengths_s", "why"),
    [((None,), "longer than the"), ((0.0,), "without samples"), ((), "0 clips"), ((1.0, 1.0), "2 clips")],
)
def test_audio_that_cannot_be_heard_whole_is_refused(
    subject: Subject, lengths_s: tuple[float | None, ...], why: str
) -> None:
    """None: a sample more than the window."""
    limits = subject.limits
    if not lengths_s and limits.text_only:
        pytest.skip("it answers questions about text, too")
    samples = [round(limits.window_s * RATE) + 1 if one is None else round(one * RATE) for one in lengths_s]
    why = why if subject.hears else f"{len(samples)} clips"
    with pytest.raises(ValueError, match=why):
        subject.engine().generate([subject.requests[1], Request(tuple(np.zeros(n, np.float32) for n in samples))])


def test_what_the_limits_do_not_name_is_refused(subject: Subject) -> None:
    """A task, a language, times of words."""
    limits, asked = subject.limits, subject.requests[1]
    more: list[tuple[bool, dict[str, Any], str]] = [
        (True, {"task": "summarize"}, "cannot summarize"),
        ("transcribe" not in limits.tasks, {"task": "transcribe"}, "cannot transcribe"),
        (bool(limits.languages), {"language": "tlh"}, "does not know language 'tlh'"),
        (not limits.word_timestamps, {"word_timestamps": True}, "gives no word timestamps"),
    ]
    for applies, settings, why in more:
        if applies:
            with pytest.raises(ValueError, match=why):
                subject.engine().generate([replace(asked, **settings)])


# ---- what an answer looks like


def test_times_rise_and_stay_inside_the_clip(subject: Subject, alone: list[Reply]) -> None:
    for request, reply in zip(subject.requests, alone, strict=True):
        assert bool(reply.segments) == (subject.limits.timestamps and bool(reply.text))
        times = [(segment.start_s, segment.end_s) for segment in reply.segments]
        edges = [edge for span in times for edge in span]
        assert all(0 <= edge <= len(request.clips[0]) / RATE for edge in edges)
        assert edges == sorted(edges)


def test_the_segments_hold_the_text(subject: Subject, alone: list[Reply]) -> None:
    for reply in alone if subject.limits.timestamps else ():
        assert "".join("".join(segment.text.split()) for segment in reply.segments) == "".join(reply.text.split())


def test_words_are_their_segments_in_order_and_inside(subject: Subject, alone: list[Reply]) -> None:
    for segment in (segment for reply in alone for segment in reply.segments):
        assert "".join(word.text for word in segment.words).strip() == segment.text
        assert (segment.words[0].start_s, segment.words[-1].end_s) == (segment.start_s, segment.end_s)
        assert all(word.start_s <= word.end_s for word in segment.words)
        assert all(before.end_s <= after.start_s for before, after in pairwise(segment.words))
        assert all(word.confidence is not None and 0 <= word.confidence <= 1 for word in segment.words)


def test_an_answer_says_whether_it_is_whole(subject: Subject) -> None:
    """Each in a batch by its own budget: cut there, as far as it came the same as with more, and said to be cut."""
    if subject.name == "fake":
        pytest.skip("its answers are always whole")
    asked = subject.requests[-3:]
    budgets = (3, 2 * BUDGET, 6)
    whole = subject.ask([replace(request, max_new_tokens=2 * BUDGET, word_timestamps=False) for request in asked])
    cut = subject.ask(
        [
            replace(request, max_new_tokens=most, word_timestamps=False)
            for request, most in zip(asked, budgets, strict=True)
        ]
    )
    for full, short, most in zip(whole, cut, budgets, strict=True):
        assert full.tokens <= 2 * BUDGET and full.stop in ("end", "length")
        if full.stop == "end" and full.tokens < most:
            assert agree(subject, full, short)
        else:
            assert (short.stop, short.tokens) == ("length", most)


# ---- memory


class Tight:
    """A loaded model that runs out of memory when it has answered more than so many requests of a batch."""

    def __init__(self, model: Model, rows: int) -> None:
        self.kind, self.size = model.kind, model.size
        self.tried: list[int] = []
        self._model, self._rows = model, rows

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        self.tried.append(len(requests))
        replies = self._model.answer(requests[: self._rows])
        if len(requests) > self._rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return replies


@pytest.mark.parametrize("name", ["random", *CHAT])
def test_memory_running_out_in_the_middle_of_a_mixed_batch_loses_nothing(
    name: str, load: Load, speech: list[Waveform]
) -> None:
    """What was answered before it ran out is asked again, and each gets its own answer in its place."""
    engine = load(name)
    assert isinstance(engine, TransformersEngine)
    if engine.limits.clips_per_request:
        requests = [replace(plain(engine.limits, speech[index]), max_new_tokens=5) for index in (3, 5, 2, 6, 3)]
    else:
        requests = [Request((), text, task="answer", max_new_tokens=5) for text in TEXTS]
    if engine.limits.follows_prompts and engine.limits.text_only:
        requests[3] = Request((), "What is a harbour?", task="answer", max_new_tokens=5)
    tight = Tight(engine._model, 2)  # type: ignore[arg-type]
    replies = TransformersEngine(engine.limits, tight, 8).generate(requests)
    expected = [engine.generate([request])[0] for request in requests]
    for reply, due in zip(replies, expected, strict=True):
        assert isinstance(reply, Reply) and isinstance(due, Reply)
        assert agree(Subject(name, load, requests), reply, due)
    shares = len({engine._model.kind(request) for request in requests}) < len(requests) - 1  # type: ignore[union-attr]
    assert (max(tight.tried) > 2) == shares, "it did not run out"


# ---- the end


@pytest.mark.parametrize("name", ["fake", "random", "qwen2-audio", "ultravox", "audioflamingo3", "text"])
def test_a_closed_engine_answers_nothing(load: Load, name: str) -> None:
    engine = load.__wrapped__(name)  # type: ignore[attr-defined]  # one of its own, as it does not survive
    engine.close()
    engine.close()
    for requests in ([Request((np.zeros(RATE, np.float32),))], []):
        with pytest.raises(ModelError, match="closed"):
            engine.generate(requests)
