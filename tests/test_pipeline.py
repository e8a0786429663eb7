"""What `audiocli.pipeline` promises: every word of every recording once, at its time, whatever the order of the work.

The recordings are tones, which the fake engine hears as words; nothing of the road itself is replaced.
"""

from __future__ import annotations

import gc
import os
import sqlite3
import threading
import time
import tracemalloc
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from audiocli.engines import Blueprint, Limits
from audiocli.engines.fake import LIMITS, Fake
from audiocli.errors import ModelError, UsageError
from audiocli.merge import Heard
from audiocli.pipeline import Options, run
from audiocli.records import RATE, Job, Reply, Segment
from audiocli.store import Store

MULTILINGUAL = replace(LIMITS, languages=("de", "en", "fr"))


class Ear(Fake):
    """The fake engine, with a record of what it was asked.

    answers: sees each (request, reply) and gives the reply to use instead. breaks: raised at the given batch.
    """

    def __init__(self, limits: Limits = LIMITS, refuses=lambda _: None, answers=lambda _, reply: reply, breaks=None):
        super().__init__(limits, refuses)
        self.batches = []
        self.closed = False
        self._answers, self._breaks = answers, breaks or {}

    @property
    def requests(self):
        return [request for batch in self.batches for request in batch]

    def generate(self, requests):
        self.batches.append(list(requests))
        if len(self.batches) in self._breaks:
            raise self._breaks[len(self.batches)]
        pairs = zip(requests, super().generate(requests), strict=True)
        return [self._answers(one, reply) if isinstance(reply, Reply) else reply for one, reply in pairs]

    def close(self):
        super().close()
        self.closed = True


def blueprint(engine, batch_size=4):
    return Blueprint("ear", "ear", "1", "ear|1", engine.limits, batch_size, {}, {}, lambda: engine)


def heard(jobs, engine=None, *, batch_size=4, store=None, watch=lambda _: None, **options):
    """Outcomes by stem, in the order they came."""
    plan = blueprint(engine or Ear(), batch_size)
    options.setdefault("word_timestamps", True)
    outcomes = list(run(jobs, plan, store or Store(None), Options(**options), watch))
    by_stem = {outcome.job.stem: outcome for outcome in outcomes}
    assert len(by_stem) == len(outcomes), "a job came out twice"
    return by_stem


def said(outcome):
    """(second, number) of every word, in the order it is told."""
    words = [word for segment in outcome.document.segments for word in segment.words]
    return [(round(word.start_s, 1), int(word.text.strip()[1:])) for word in words]


def steady(first, count, every_s=2.0, start_s=1.0):
    """Words `first`, `first` + 1, …, one every two seconds."""
    return [(start_s + every_s * n, first + n) for n in range(count)]


@pytest.fixture
def recordings(tmp_path, say):
    """Three recordings of 100, 35 and 8 seconds with different words: Jobs, and the words of each."""
    words = {"long": steady(0, 49), "middle": steady(100, 17), "short": steady(150, 3)}
    lengths = {"long": 100.0, "middle": 35.0, "short": 8.0}
    jobs = [Job(str(say(tmp_path / f"{stem}.wav", told, lengths[stem])), stem) for stem, told in words.items()]
    return jobs, words


@pytest.fixture
def one(tmp_path, say):
    """One recording of 100 s: Job and words."""
    words = steady(0, 49)
    return Job(str(say(tmp_path / "one.wav", words, 100.0)), "one"), words


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "replies.sqlite") as opened:
        yield opened


# All of it, once


@pytest.mark.parametrize("vad", ["webrtc", "off"])
@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_every_word_of_every_file_is_told_once_at_its_time(recordings, vad, batch_size):
    jobs, words = recordings
    outcomes = heard(jobs, vad=vad, batch_size=batch_size)
    assert {stem: said(outcome) for stem, outcome in outcomes.items()} == words


def test_words_are_timed_where_silence_was_taken_out_and_given_out_only_where_asked_for(tmp_path, say):
    """Only words tell on which side of removed silence a segment stands; the fake engine tells both sides as one."""
    apart = say(tmp_path / "apart.wav", [(1.0, 1), (1.4, 2), (20.0, 3), (20.4, 4)], 22.0)
    close = say(tmp_path / "close.wav", [(1.0, 1), (1.4, 2)], 3.0)
    engine = Ear(answers=lambda _, reply: replace(reply, segments=(as_one(reply.segments),)))
    outcomes = heard([Job(str(apart), "apart"), Job(str(close), "close")], engine, word_timestamps=False)
    assert sorted(request.word_timestamps for request in engine.requests) == [False, True]
    told = outcomes["apart"].document.segments
    assert [(segment.text, round(segment.start_s, 1), segment.words) for segment in told] == [
        ("w1 w2", 1.0, ()),
        ("w3 w4", 20.0, ()),
    ]


def test_what_was_heard_of_a_finished_recording_is_let_go(tmp_path, say):
    """A run over a thousand hours must not hold them."""
    path = say(tmp_path / "one.wav", [(1.0, 1)], 2.0)
    jobs = [Job(str(path), str(number)) for number in range(40)]
    held = []
    with closing(run(jobs, blueprint(Ear()), Store(None), Options())) as outcomes:
        for _ in outcomes:
            # By type(): isinstance() wakes the lazy objects of other libraries, which warn.
            held.append(sum(type(one) is Heard for one in gc.get_objects()))
    assert len(held) == 40 and held[-1] <= 8


def as_one(segments):
    words = tuple(word for segment in segments for word in segment.words)
    text = " ".join(segment.text for segment in segments)
    return Segment(segments[0].start_s, segments[-1].end_s, text, words)


def test_the_document_does_not_depend_on_what_else_is_heard(recordings):
    jobs, _ = recordings
    together = heard(jobs, batch_size=3)
    apart = {job.stem: heard([job], batch_size=1)[job.stem] for job in jobs}
    assert {stem: outcome.document for stem, outcome in together.items()} == {
        stem: outcome.document for stem, outcome in apart.items()
    }


def test_windows_of_different_files_share_batches_of_the_size_asked_for(tmp_path, say):
    jobs = [Job(str(say(tmp_path / f"{n}.wav", steady(10 * n, 3), 8.0)), str(n)) for n in range(7)]
    engine = Ear()
    heard(jobs, engine, batch_size=3)
    assert [len(batch) for batch in engine.batches] == [3, 3, 1]


def test_silence_is_a_valid_document_and_asks_nothing(tmp_path):
    soundfile.write(tmp_path / "silent.wav", np.zeros(20 * RATE, np.float32), RATE)
    engine = Ear()
    document = heard([Job(str(tmp_path / "silent.wav"), "silent")], engine)["silent"].document
    assert (document.text, document.duration_s, document.coverage.silence_s) == ("", 20.0, 20.0)
    assert document.coverage.share == 1.0 and not engine.batches


def test_no_jobs_no_engine():
    def load():
        raise AssertionError("an engine was loaded for nothing")

    assert list(run([], replace(blueprint(Ear()), load=load), Store(None), Options())) == []


def test_a_file_comes_out_before_the_ones_behind_it_are_read(recordings):
    """The first Outcome leaves while later files still wait: nothing is held until the end."""
    jobs, _ = recordings
    engine = Ear()
    outcomes = run([jobs[2], *jobs[:2]], blueprint(engine, batch_size=1), Store(None), Options())
    assert next(outcomes).job.stem == "short"
    assert len(engine.requests) == 1
    outcomes.close()


# The store


def test_a_second_run_asks_nothing_and_tells_the_same(recordings, store):
    jobs, _ = recordings
    first, again = Ear(), Ear()
    told = heard(jobs, first, store=store)
    assert heard(jobs, again, store=store) == told
    assert first.asked > 0 and again.asked == 0


def test_a_second_run_does_not_even_load_the_engine(one, store):
    heard([one[0]], store=store)

    def load():
        raise AssertionError("the engine was loaded although every reply is known")

    plan = replace(blueprint(Ear()), load=load)
    (outcome,) = run([one[0]], plan, store, Options(word_timestamps=True))
    assert said(outcome) == one[1]


def test_a_file_added_asks_for_its_own_windows_only(recordings, store):
    jobs, words = recordings
    heard(jobs[:2], store=store)
    engine = Ear()
    outcomes = heard(jobs, engine, store=store)
    assert engine.asked == 1 and {stem: said(outcome) for stem, outcome in outcomes.items()} == words


@pytest.mark.parametrize(
    "change",
    [{"initial_prompt": "Names"}, {"word_timestamps": False}, {"language": "en"}],
    ids=lambda change: [*change][0],
)
def test_what_changes_the_question_asks_again(one, store, change):
    heard([one[0]], store=store)
    engine = Ear()
    heard([one[0]], engine, store=store, **change)
    assert engine.asked > 0


def test_a_run_that_broke_off_keeps_what_was_answered(one, store):
    job, words = one
    broken = Ear(breaks={3: ModelError("the power went out")})
    with pytest.raises(ModelError):
        heard([job], broken, store=store, batch_size=1, vad="off")
    engine = Ear()
    assert said(heard([job], engine, store=store, batch_size=1, vad="off")["one"]) == words
    assert engine.asked == len(heard([job], vad="off")["one"].document.chunks[0].windows) - 2


# What goes wrong


def hears(number):
    """Whether a request's audio has the word in it."""

    def asked(request):
        (reply,) = Fake().generate([replace(request, language=None, word_timestamps=False, task="transcribe")])
        return f"w{number}" in reply.text.split()

    return asked


def test_a_window_that_fails_is_a_gap_and_the_others_stay(one):
    job, words = one
    engine = Ear(refuses=lambda request: "the model choked" if hears(20)(request) else None)
    outcome = heard([job], engine, vad="off")["one"]
    (gap,) = outcome.document.gaps
    assert gap.reason == "the model choked" and gap.start_s < 41.0 < gap.end_s
    assert said(outcome) == [(at, n) for at, n in words if not gap.start_s <= at < gap.end_s]
    assert outcome.document.coverage.failed_s == pytest.approx(gap.end_s - gap.start_s, abs=0.002)


def test_a_window_that_failed_is_asked_again_the_next_time(one, store):
    job, words = one
    heard([job], Ear(refuses=lambda request: "out of luck" if hears(20)(request) else None), store=store)
    engine = Ear()
    outcome = heard([job], engine, store=store)["one"]
    assert engine.asked == 1 and said(outcome) == words and not outcome.document.gaps


def longer_than(limit_s):
    """An engine's answer runs out of its budget for a clip beyond so many seconds."""

    def answer(request, reply):
        if len(request.clips[0]) <= limit_s * RATE:
            return reply
        return replace(reply, text="cut o", segments=(), stop="length")

    return answer


@pytest.mark.parametrize("limit_s", [20.0, 9.0])
def test_an_answer_that_ran_out_of_its_budget_is_asked_again_in_halves_and_no_word_is_lost(one, limit_s):
    job, words = one
    engine = Ear(answers=longer_than(limit_s))
    outcome = heard([job], engine, vad="off")["one"]
    assert said(outcome) == words and "cut o" not in outcome.document.text
    assert any(len(request.clips[0]) > limit_s * RATE for request in engine.requests)
    assert outcome.document.provenance.retried > 0
    assert outcome.document.chunks[0].windows == tuple(range(outcome.document.provenance.windows))


def test_halves_that_are_known_already_are_told_once(one, store):
    """The whole window is asked for again, and its halves answer from the store while it is being dealt with."""
    job, words = one
    first = heard([job], Ear(answers=longer_than(20.0)), store=store, vad="off", batch_size=8)
    with closing(sqlite3.connect(store.path)) as replies, replies:
        assert replies.execute("""DELETE FROM replies WHERE reply LIKE '%"stop":"length"%'""").rowcount == 3
    engine = Ear(answers=longer_than(20.0))
    assert heard([job], engine, store=store, vad="off", batch_size=8) == first and said(first["one"]) == words
    assert engine.asked == 3


def test_an_answer_that_never_ends_is_kept_and_marked(tmp_path, say):
    job = Job(str(say(tmp_path / "short.wav", steady(0, 1), 3.0)), "short")
    endless = Ear(answers=lambda request, reply: replace(reply, stop="length"))
    document = heard([job], endless)["short"].document
    assert document.text == "w0" and "token budget" in document.segments[0].unreliable
    assert document.coverage.unreliable_s > 0 and document.coverage.transcribed_s == 0


def test_one_bad_file_neither_stops_nor_hides_the_others(recordings, tmp_path):
    jobs, words = recordings
    (tmp_path / "noise.wav").write_bytes(b"this is no sound at all, but long enough to look at")
    bad = [Job(str(tmp_path / "noise.wav"), "noise"), Job(str(tmp_path / "missing.wav"), "missing")]
    outcomes = heard([bad[0], jobs[0], bad[1], *jobs[1:]])
    assert {stem: said(outcomes[stem]) for stem in words} == words
    for job in bad:
        outcome = outcomes[job.stem]
        assert outcome.document is None and outcome.error.startswith(job.source)
        assert "\n" not in outcome.error


def test_a_channel_that_is_not_there_fails_its_file_only(tmp_path, say):
    stereo = Job(str(say(tmp_path / "stereo.wav", steady(0, 3), 8.0, steady(50, 3))), "stereo")
    mono = Job(str(say(tmp_path / "mono.wav", steady(0, 3), 8.0)), "mono")
    outcomes = heard([mono, stereo], channels=1)
    assert said(outcomes["stereo"]) == steady(50, 3) and "channel" in outcomes["mono"].error


def test_a_model_that_is_gone_ends_the_run(one):
    engine = Ear(breaks={1: ModelError("the GPU fell off the bus")})
    with pytest.raises(ModelError, match="bus"):
        heard([one[0]], engine)


def test_what_was_done_before_the_model_went_has_come_out(recordings):
    jobs, words = recordings
    engine = Ear(breaks={2: ModelError("gone")})
    outcomes = run([jobs[2], jobs[0]], blueprint(engine, batch_size=1), Store(None), Options(word_timestamps=True))
    assert said(next(outcomes)) == words["short"]
    with pytest.raises(ModelError):
        next(outcomes)


def test_our_own_mistakes_are_not_taken_for_a_file_s(one):
    with pytest.raises(ZeroDivisionError):
        heard([one[0]], Ear(answers=lambda request, reply: 1 / 0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "translate"}, "cannot translate"),
        ({"language": "sv"}, "does not know language 'sv'; it knows de, en, fr"),
        ({"word_timestamps": True}, "gives no word timestamps"),
        ({"vad": "ears"}, "no voice activity detector 'ears'"),
    ],
    ids=["task", "language", "words", "vad"],
)
def test_what_cannot_be_done_is_refused_before_a_file_is_opened(options, message):
    engine = Ear(replace(MULTILINGUAL, word_timestamps=False))
    with pytest.raises(UsageError, match=message):
        next(run([Job("/nowhere.wav", "nowhere")], blueprint(engine), Store(None), Options(**options)))
    assert not engine.batches


# Languages


def by_file(languages):
    """Replies in the language of the file, told from its words: those below 100, those below 150, the others."""

    def answer(request, reply):
        number = int(reply.text.split()[0][1:])
        return replace(reply, language=languages[0 if number < 100 else 1 if number < 150 else 2])

    return answer


def test_the_language_is_found_once_in_each_file_and_told_to_its_other_windows(recordings):
    jobs, words = recordings
    engine = Ear(MULTILINGUAL, answers=by_file(["de", "fr", "en"]))
    outcomes = heard(jobs, engine, batch_size=2)
    assert {stem: outcome.document.language for stem, outcome in outcomes.items()} == {
        "long": "de",
        "middle": "fr",
        "short": "en",
    }
    assert {stem: said(outcome) for stem, outcome in outcomes.items()} == words
    told = [request.language for request in engine.requests]
    assert told.count(None) == len(jobs) and told.count("de") == outcomes["long"].document.provenance.windows - 1


def test_a_language_that_is_given_is_told_to_every_window(recordings):
    engine = Ear(MULTILINGUAL)
    heard(recordings[0], engine, language="fr")
    assert {request.language for request in engine.requests} == {"fr"}


def test_a_model_of_one_language_is_not_asked_for_it(recordings):
    engine = Ear(replace(LIMITS, languages=("en",)))
    heard(recordings[0], engine, batch_size=8)
    assert len(engine.batches) == 1, "windows waited for a language that there is no choice of"


def test_where_the_first_window_fails_the_next_one_tells_the_language(one, store):
    job, words = one
    engine = Ear(MULTILINGUAL, refuses=lambda request: "choked" if hears(0)(request) else None)
    outcome = heard([job], engine, vad="off", store=store)["one"]
    assert outcome.document.language == "en" and said(outcome)[-1] == words[-1]
    assert [request.language for request in engine.requests].count(None) == 2


def test_a_first_window_that_fails_again_does_not_end_its_file_twice(one, store):
    """Its failure sets the others free, the store knows them all, and the file seemed to be done at each."""
    job, _ = one

    def engine():
        return Ear(MULTILINGUAL, refuses=lambda request: "choked" if hears(0)(request) else None)

    first = heard([job], engine(), vad="off", store=store)
    assert heard([job], engine(), vad="off", store=store) == first


def test_a_reply_that_tells_no_language_holds_no_window_back(one):
    job, words = one
    engine = Ear(MULTILINGUAL, answers=lambda request, reply: replace(reply, language=None))
    assert said(heard([job], engine, vad="off")["one"]) == words


@pytest.mark.parametrize("limits", [LIMITS, MULTILINGUAL], ids=["one language", "language unknown"])
def test_windows_do_not_pile_up_however_long_the_recording(tmp_path, say, limits):
    """20 minutes are 77 MB of samples. While a language is unknown, too, batches are asked before they are full."""
    job = Job(str(say(tmp_path / "long.wav", steady(0, 120, every_s=10.0), 1200.0)), "long")
    tracemalloc.start()
    try:
        outcome = heard([job], Fake(limits), batch_size=2, vad="off")["long"]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(said(outcome)) == 120 and peak < 30e6


# Channels


@pytest.fixture
def stereo(tmp_path, say):
    """Two voices that take turns: Job, left and right words."""
    left, right = steady(0, 8, every_s=4.0), steady(50, 8, every_s=4.0, start_s=3.0)
    return Job(str(say(tmp_path / "call.wav", left, 33.0, right)), "call"), left, right


def test_channels_are_mixed_unless_told_apart(stereo):
    job, left, right = stereo
    document = heard([job])["call"].document
    assert said(heard([job])["call"]) == sorted(left + right)
    assert {segment.speaker for segment in document.segments} == {None}


def test_split_channels_are_two_speakers_in_the_order_they_speak(stereo):
    job, left, right = stereo
    outcome = heard([job], channels="split")["call"]
    assert said(outcome) == sorted(left + right)
    assert [segment.speaker for segment in outcome.document.segments] == ["Channel 1", "Channel 2"] * 8


def test_both_may_speak_at_once(tmp_path, say):
    words = steady(0, 10), steady(50, 10, start_s=1.1)
    outcome = heard([Job(str(say(tmp_path / "both.wav", words[0], 22.0, words[1])), "both")], channels="split")["both"]
    for number, told in enumerate(words, 1):
        mine = [one for one in outcome.document.segments if one.speaker == f"Channel {number}"]
        assert [word.text.strip() for one in mine for word in one.words] == [f"w{n}" for _, n in told]
    assert [one.start_s for one in outcome.document.segments] == sorted(
        one.start_s for one in outcome.document.segments
    )


@pytest.mark.parametrize("channel", [0, 1])
def test_one_channel_is_heard_alone(stereo, channel):
    outcome = heard([stereo[0]], channels=channel)["call"]
    assert said(outcome) == stereo[1 + channel] and outcome.document.segments[0].speaker is None


def test_a_recording_of_one_channel_is_not_split(one):
    job, words = one
    outcome = heard([job], channels="split")["one"]
    assert said(outcome) == words and outcome.document.segments[0].speaker is None


def test_a_window_that_fails_on_one_channel_is_a_gap_though_the_other_is_heard(stereo):
    job, left, _ = stereo
    outcome = heard([job], Ear(refuses=lambda request: "choked" if hears(50)(request) else None), channels="split")
    assert said(outcome["call"])[: len(left)] == left[: len(said(outcome["call"]))]
    assert outcome["call"].document.gaps and outcome["call"].document.coverage.failed_s > 0


# Progress, and an end before the end


def test_each_window_reports_once_and_the_last_ones_reach_the_end(recordings, store):
    jobs, _ = recordings
    seen = {False: [], True: []}
    for cached in (False, True):
        outcomes = heard(jobs, store=store, watch=seen[cached].append, vad="off")
        assert {report.cached for report in seen[cached]} == {cached}
        for job in jobs:
            document = outcomes[job.stem].document
            mine = [report for report in seen[cached] if report.job == job]
            assert len(mine) == document.provenance.windows
            assert max(report.position_s for report in mine) == document.duration_s
            assert {report.duration_s for report in mine} == {document.duration_s}
            assert sum(report.heard_s for report in mine) == pytest.approx(document.duration_s, abs=0.01)


def test_a_window_that_failed_or_was_split_reports_too(one):
    seen = []
    engine = Ear(refuses=lambda request: "no" if hears(20)(request) else None, answers=longer_than(20.0))
    heard([one[0]], engine, watch=seen.append, vad="off")
    assert sum(report.heard_s for report in seen) == pytest.approx(100.0, abs=0.01)


def decoding():
    return [thread for thread in threading.enumerate() if thread.name == "audiocli-intake"]


def test_closing_early_stops_the_thread_and_lets_the_engine_go(recordings):
    jobs, _ = recordings
    engine = Ear()
    outcomes = run([jobs[2], *jobs[:2]], blueprint(engine, batch_size=1), Store(None), Options())
    next(outcomes)
    assert decoding() and not engine.closed
    outcomes.close()
    assert not decoding() and engine.closed


def test_the_thread_and_the_engine_are_gone_after_the_last_outcome_and_after_an_error(one):
    engine = Ear()
    heard([one[0]], engine)
    assert not decoding() and engine.closed
    engine = Ear(breaks={1: ModelError("gone")})
    with pytest.raises(ModelError):
        heard([one[0]], engine, batch_size=1)
    assert not decoding() and engine.closed


def test_hours_of_silence_do_not_keep_the_thread(tmp_path, recordings):
    """No window comes out of them for a minute; the thread looks up at every block all the same."""
    samples = 8 * 3600 * RATE
    soundfile.write(tmp_path / "silent.wav", np.zeros(1, np.int16), RATE)
    with (tmp_path / "silent.wav").open("r+b") as file:
        file.seek(4)
        file.write((36 + 2 * samples).to_bytes(4, "little"))
        file.seek(40)
        file.write((2 * samples).to_bytes(4, "little"))
        file.truncate(44 + 2 * samples)
    jobs = [recordings[0][2], Job(str(tmp_path / "silent.wav"), "silent")]
    outcomes = run(jobs, blueprint(Ear(), batch_size=1), Store(None), Options())
    assert next(outcomes).job.stem == "short"
    outcomes.close()
    assert not decoding()


@pytest.mark.skipif(os.name != "posix", reason="named pipes")
def test_a_pipe_that_gives_nothing_does_not_keep_the_run_from_ending(tmp_path, recordings):
    pipe = tmp_path / "pipe.wav"
    os.mkfifo(pipe)
    outcomes = run([recordings[0][2], Job(str(pipe), "pipe")], blueprint(Ear(), 1), Store(None), Options())
    assert next(outcomes).job.stem == "short"
    started = time.monotonic()
    outcomes.close()
    assert time.monotonic() - started < 5
    pipe.open("wb").close()  # the read returns, and the thread with it
    for thread in decoding():
        thread.join(10)
    assert not decoding()
