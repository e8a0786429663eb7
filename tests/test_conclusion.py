"""What `audiocli.conclusion` promises of transcripts that a language model reads, whatever was said and when.

The script is led by hand: what it asks is answered here, so that no engine and no audio is needed.
"""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiocli import windows
from audiocli.conclusion import conclude
from audiocli.course import Options, plan
from audiocli.engines import Blueprint
from audiocli.engines.fake import LIMITS, PROMPTED, Fake
from audiocli.errors import EngineError
from audiocli.prompts import Budgets, Prompt
from audiocli.records import RATE, ChunkSpan, Coverage, Document, Note, Provenance, Reply, Segment, seconds

READER = replace(PROMPTED, window_s=0.0, clips_per_request=0, tasks=("answer",), context_tokens=400)
WORDS = Prompt("words", "", "answer", "Which words?", limits=Budgets(max_new_tokens=100))
SORRY = "I'm sorry, but I cannot listen to audio."


def blueprint(limits):
    return Blueprint(
        "fake", "fake", "1", "", limits, 1, {}, {}, lambda: Fake(limits), count_tokens=lambda text: len(text.split())
    )


def course(*prompts):
    return plan(Options(transcript=False, prompts=prompts), blueprint(LIMITS), blueprint(READER))


def transcript(segments, length_s):
    laid = windows.chunk([], round(length_s * RATE))
    chunks = tuple(ChunkSpan(one.index, seconds(one.start), seconds(one.stop), ()) for one in laid)
    made_by = Provenance("0", "fake", "1", "fake", "answer")
    return Document("a.wav", "a", length_s, "de", tuple(segments), chunks, Coverage(), made_by)


def concluded(document, course_, answer):
    """The document at the end of the script. answer: a reply or an error to each request."""
    script = conclude(document, {}, course_, None)
    try:
        asked = next(script)
        while True:
            asked = script.send([answer(request) for request in asked])
    except StopIteration as end:
        return end.value


def echo(request):
    return Reply(" ".join(re.findall(r"\bw\d+\b", request.prompt)))


def said(numbers_at_s, length_s=1.0):
    return [Segment(at_s, at_s + length_s, f"w{number}") for number, at_s in enumerate(numbers_at_s)]


@given(st.lists(st.integers(0, 1500), min_size=1, max_size=400).map(sorted))
def test_everything_that_was_said_is_read_however_it_lies(times_s):
    """Also what begins where the recording ends; and what does not fit is read in parts."""
    document = transcript(said(times_s, 0.0), float(max(*times_s, 1)))
    answer = concluded(document, course(WORDS), echo).answers[0]
    assert set(answer.text.split()) == {f"w{number}" for number in range(len(times_s))}
    assert [note.start_s for note in answer.notes] == sorted(note.start_s for note in answer.notes)


def test_notes_reach_over_what_two_speakers_say_at_once():
    both = [Segment(0.0, 50.0, "w1", speaker="Channel 1"), Segment(10.0, 12.0, "w2", speaker="Channel 2")]
    (note,) = concluded(transcript(both, 60.0), course(WORDS), echo).answers[0].notes
    assert (note.start_s, note.end_s, note.text) == (0.0, 50.0, "w1 w2")


def test_what_should_not_be_trusted_is_read_only_where_there_is_nothing_else():
    doubted = replace(said([5])[0], text="w99", unreliable="it repeats itself")
    alone = concluded(transcript([doubted], 60.0), course(WORDS), echo)
    beside = concluded(transcript([*said([0]), doubted], 60.0), course(WORDS), echo)
    assert (alone.answers[0].text, beside.answers[0].text) == ("w99", "w0")


def test_stretches_that_could_not_be_read_are_gaps_in_their_order_each_once():
    document = transcript(said(range(0, 800, 100)), 800.0)
    two = course(WORDS, replace(WORDS, name="more", user="And more?"))
    ended = concluded(document, two, lambda request: EngineError("broken") if "w0" in request.prompt else echo(request))
    assert [gap.reason for gap in ended.gaps] == ["more: broken", "words: broken"]
    assert {gap.start_s for gap in ended.gaps} == {0.0} and "w7" in ended.answers[0].text


@pytest.mark.parametrize("again", ["w1", SORRY])
def test_a_refusal_is_asked_for_once_more_and_no_more(again):
    temperatures = []

    def shy(request):
        temperatures.append(request.temperature > 0)
        return Reply(again if request.temperature else SORRY)

    ended = concluded(transcript(said([0]), 60.0), course(WORDS), shy)
    assert temperatures == [False, True] and ended.provenance.retried == 1
    assert (ended.answers[0].unreliable is None) == (again == "w1")


def test_notes_are_told_in_the_order_of_the_recording_however_they_came():
    heard = plan(Options(transcript=False, prompts=(WORDS,)), blueprint(PROMPTED), None)
    notes = [
        Note(30.0, 60.0, "w2"),
        Note(0.0, 30.0, "w1", speaker="Channel 2"),
        Note(0.0, 30.0, "w0", speaker="Channel 1"),
    ]
    script = conclude(transcript([], 60.0), {"words": notes}, heard, None)
    with pytest.raises(StopIteration) as end:
        next(script)
    assert end.value.value.answers[0].text.split() == ["w0", "w1", "w2"]
