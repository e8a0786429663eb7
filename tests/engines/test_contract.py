"""What every engine promises, asked of every engine: the fake, the embedded Whisper, and random ones of each family."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
from conftest import CHAT, Load, Recording

from audiocli.engines import Engine, Limits
from audiocli.engines.fake import tones
from audiocli.errors import ModelError
from audiocli.records import RATE, Reply, Request, Segment, Waveform, Word

NAMES = ["fake", "embedded", "embedded bf16", "random", *CHAT]


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """An engine under test, and clips that it has something to say about."""

    name: str
    load: Load
    clips: list[Waveform]

    def engine(self, batch_size: int = 8) -> Engine:
        return self.load(self.name, batch_size)

    @property
    def limits(self) -> Limits:
        return self.engine().limits

    def ask(self, requests: Sequence[Request], batch_size: int = 8) -> list[Reply]:
        replies = self.engine(batch_size).generate(requests)
        assert len(replies) == len(requests)
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
    lengths_s = [len(clip) / RATE for clip in speech]
    clips = said_in_tones(lengths_s) if request.param == "fake" else speech
    # the embedded model takes a second for a clip, and longer in half precision where the processor does not have it
    few = {"embedded": [0, 1, 2, 4, 5], "embedded bf16": [4, 5, 2]}.get(request.param, range(len(clips)))
    return Subject(request.param, load, [clips[index] for index in few])


@pytest.fixture(scope="module")
def alone(subject: Subject) -> list[Reply]:
    """What the engine says of each clip when it hears no other, with words where it has them."""
    return [subject.ask([request])[0] for request in plain(subject)]


def plain(subject: Subject) -> list[Request]:
    limits = subject.limits
    prompt = "Write down every word." if limits.follows_prompts else ""
    return [Request((clip,), prompt, word_timestamps=limits.word_timestamps) for clip in subject.clips]


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


def test_the_clips_are_told_apart(alone: list[Reply]) -> None:
    """Else the tests of order below prove nothing."""
    assert len({(reply.text, reply.segments) for reply in alone}) == len(alone)


@pytest.mark.parametrize("batch_size", [8, 3])
def test_a_batch_answers_in_order_and_as_its_members_alone(
    subject: Subject, alone: list[Reply], batch_size: int
) -> None:
    """One of them is asked twice."""
    if subject.name == "embedded bf16" and batch_size == 8:
        pytest.skip("half precision is slow on many processors: one size tells enough")
    order = random.Random(batch_size).sample([2, *range(len(alone))], len(alone) + 1)
    replies = subject.ask([plain(subject)[index] for index in order], batch_size)
    for index, reply in zip(order, replies, strict=True):
        assert agree(subject, reply, alone[index]), (reply, alone[index])


def test_requests_of_several_kinds_in_one_call_are_each_answered_as_asked(subject: Subject) -> None:
    kinds: list[Callable[[Request], Request]] = [
        lambda request: request,
        lambda request: replace(request, initial_prompt="Peter, David, Helen"),
        lambda request: replace(request, language="en"),
        lambda request: replace(request, word_timestamps=subject.limits.word_timestamps),
        lambda request: replace(request, task=subject.limits.tasks[-1]),
    ]
    if subject.limits.follows_prompts:
        kinds.append(lambda request: replace(request, prompt="Who speaks?", system="You listen.", max_new_tokens=7))
        kinds.append(lambda request: replace(request, temperature=0.7))
    kinds = kinds[-2:] if subject.name == "embedded bf16" else kinds
    clips = [subject.clips[-1 - index % 2] for index in range(len(kinds))]
    mixed = [kind(Request((clip,))) for kind, clip in zip(kinds, clips, strict=True)]
    together = subject.ask(mixed)
    for request, reply in zip(mixed, together, strict=True):
        assert agree(subject, reply, subject.ask([request])[0])
        assert any(segment.words for segment in reply.segments) == (request.word_timestamps and bool(reply.text))


def test_asking_again_gives_the_same_answer(subject: Subject, alone: list[Reply]) -> None:
    assert subject.ask([plain(subject)[2]]) == [alone[2]]


def test_nothing_asked_is_nothing_answered(subject: Subject) -> None:
    assert list(subject.engine().generate([])) == []


# ---- nothing is cut off or ignored


def test_a_full_window_is_heard_to_its_end(subject: Subject, pauses: Recording) -> None:
    assert subject.limits.window_s >= 30.0
    if not subject.limits.timestamps:
        whole = pauses.sound[: 30 * RATE]
        cut = np.concatenate([whole[:-RATE], pauses.cut(5, 6)])
        heard, other = subject.ask([Request((clip,), "Write") for clip in (whole, cut)])
        assert heard.text != other.text
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
    with pytest.raises(ValueError, match=why):
        subject.engine().generate([plain(subject)[1], Request(tuple(np.zeros(n, np.float32) for n in samples))])


def test_what_the_limits_do_not_name_is_refused(subject: Subject) -> None:
    clip = subject.clips[1]
    with pytest.raises(ValueError, match="cannot summarize"):
        subject.engine().generate([Request((clip,), task="summarize")])  # type: ignore[arg-type]
    if subject.limits.languages:
        with pytest.raises(ValueError, match="does not know language 'tlh'"):
            subject.engine().generate([Request((clip,), language="tlh")])


# ---- what an answer looks like


def test_times_rise_and_stay_inside_the_clip(subject: Subject, alone: list[Reply]) -> None:
    for clip, reply in zip(subject.clips, alone, strict=True):
        times = [(segment.start_s, segment.end_s) for segment in reply.segments]
        edges = [edge for span in times for edge in span]
        assert all(0 <= edge <= len(clip) / RATE for edge in edges)
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


# ---- the end


@pytest.mark.parametrize("name", ["fake", "random", *CHAT])
def test_a_closed_engine_answers_nothing(load: Load, name: str) -> None:
    engine = load.__wrapped__(name)  # type: ignore[attr-defined]  # one of its own, as it does not survive
    engine.close()
    engine.close()
    for requests in ([Request((np.zeros(RATE, np.float32),))], []):
        with pytest.raises(ModelError, match="closed"):
            engine.generate(requests)
