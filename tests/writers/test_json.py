"""The JSON keeps its schema, whatever was said, and what reads whisper's JSON reads it."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import fields, replace
from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest
from document_strategies import FACTS, PROVENANCE, document, documents, full_documents, hostile, promise, silent, spoken
from hypothesis import given
from jsonschema import Draft202012Validator

from audiocli.records import (
    Analysis,
    Answer,
    ChunkSpan,
    Coverage,
    Document,
    Event,
    Facts,
    Gap,
    Note,
    Point,
    Provenance,
    Segment,
    Summary,
    Word,
)
from audiocli.writers.json_ import SCHEMA, data, dumped, render, render_line, to_dict
from audiocli.writers.shape import Shape

if TYPE_CHECKING:
    from collections.abc import Iterator

schema = json.loads(resources.files("audiocli.writers").joinpath("schema.json").read_text(encoding="utf-8"))
validator = Draft202012Validator(schema)

NOTE = Note(0.0, 12.0, "Ann greets.", "repeats itself", "Ann")
POINT = Point("Say hello", 0.12345, 2.0, "Ann", "today", "Hello there.", True, "nobody said when")

FULL = Document(
    source="talks/meeting.mp3",
    stem="talks/meeting",
    duration_s=12.34567,
    language="en",
    segments=(Segment(0.12345, 2.0, " Hello there.", (Word(0.12345, 1.0, " Hello", 0.98765),), "Ann", 0.5, "loop"),),
    chunks=(ChunkSpan(0, 0.0, 12.34567, (0, 1)),),
    coverage=Coverage(transcribed_s=6.0, silence_s=3.0, unreliable_s=1.0, failed_s=1.0, event_s=1.34567),
    provenance=PROVENANCE,
    gaps=(Gap(3.0, 4.0, "out of memory"),),
    loud=(Gap(5.0, 6.0, "-12 dBFS"),),
    warnings=("the end is cut off",),
    events=(Event(2.5, 3.0, "music", 0.5, "a piano"),),
    summary=Summary("ultravox's notes", (POINT,), (POINT,), (POINT,), (POINT,), (POINT,), (NOTE,), "cut short"),
    analysis=Analysis("measured", FACTS, (Event(0.0, 2.0, "speech"),), (NOTE,)),
    answers=(Answer("ask", "Who?", '{"who": ["Ann"]}', "json", (NOTE,), "guesswork"),),
)
FREE = {"settings", "libraries", "prompts", "data"}
"""Fields whose content is not for the schema to say."""


def objects(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where in a JSON value the objects with fixed keys are."""
    if isinstance(value, dict) and not FREE & {*path}:
        yield path
    for key, child in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from objects(child, (*path, key))


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


FIELDS = [(path, key) for path in objects(to_dict(FULL)) for key in at(to_dict(FULL), path)]


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(schema)
    assert schema["properties"]["schema"]["const"] == SCHEMA


@promise
@given(full_documents())
def test_every_document_follows_the_schema(made: Document) -> None:
    for rendered in (render(made, Shape()), render_line(made, Shape())):
        validator.validate(json.loads(rendered))


def test_the_sample_has_an_object_of_every_kind() -> None:
    validator.validate(to_dict(FULL))
    kinds = [definition for definition in schema["$defs"].values() if definition["type"] == "object"]
    described = {frozenset(kind["properties"]) for kind in (schema, *kinds)}
    assert {frozenset(at(to_dict(FULL), path)) for path in objects(to_dict(FULL))} == described


@pytest.mark.parametrize(("path", "key"), FIELDS)
def test_a_missing_field_is_refused(path: tuple[str | int, ...], key: str) -> None:
    broken = copy.deepcopy(to_dict(FULL))
    del at(broken, path)[key]
    assert not validator.is_valid(broken)


@pytest.mark.parametrize("path", list(objects(to_dict(FULL))))
def test_an_unknown_field_is_refused(path: tuple[str | int, ...]) -> None:
    broken = copy.deepcopy(to_dict(FULL))
    at(broken, path)["surprise"] = 1
    assert not validator.is_valid(broken)


@pytest.mark.parametrize(("path", "key"), [field for field in FIELDS if field[1] != "data"])
def test_a_field_of_another_type_is_refused(path: tuple[str | int, ...], key: str) -> None:
    broken = copy.deepcopy(to_dict(FULL))
    at(broken, path)[key] = [{"not": "this"}] if isinstance(at(broken, path)[key], list) else ["nor this"]
    assert not validator.is_valid(broken)


@promise
@given(documents())
def test_what_was_said_comes_back_as_it_was(made: Document) -> None:
    read = json.loads(render_line(made, Shape()))
    texts = [segment.text.replace("\ud800", "\ufffd") for segment in made.segments]
    assert [segment["text"] for segment in read["segments"]] == texts


@promise
@given(full_documents())
def test_one_document_is_one_line_for_every_reader_of_lines(made: Document) -> None:
    rendered = render_line(made, Shape())
    assert rendered.endswith("}\n")
    assert len(rendered.splitlines()) == 1
    rendered.encode("utf-8")


def test_a_file_is_indented_and_says_the_same() -> None:
    assert render(FULL, Shape()).startswith('{\n  "schema": "audiocli/document/1",\n')
    assert json.loads(render(FULL, Shape())) == json.loads(render_line(FULL, Shape()))


def test_whispers_names_are_kept_and_seconds_rounded() -> None:
    read = json.loads(render_line(FULL, Shape()))
    segment = read["segments"][0]
    assert (read["text"], read["language"], read["duration"]) == ("Hello there.", "en", 12.346)
    assert (segment["id"], segment["start"], segment["end"], segment["text"]) == (0, 0.123, 2.0, " Hello there.")
    assert segment["words"] == [{"word": " Hello", "start": 0.123, "end": 1.0, "probability": 0.988}]


def test_no_time_is_minus_zero() -> None:
    assert '"start": 0.0,' in render_line(document(Segment(-0.0001, 1, "a")), Shape())


def test_the_coverage_says_its_sum_and_its_share() -> None:
    coverage = json.loads(render_line(FULL, Shape()))["coverage"]
    assert (coverage["sum"], coverage["share"]) == (12.346, 0.75)


def test_letters_stay_letters_and_terminals_are_left_alone() -> None:
    rendered = render_line(document(Segment(0, 1, "naïve 吾輩 \x1b[31m \x9b31m \u2028")), Shape())
    assert "naïve 吾輩" in rendered
    assert not set("\x1b\x9b\u2028") & set(rendered)


def test_a_small_threshold_is_not_rounded_away() -> None:
    assert json.loads(render_line(FULL, Shape()))["provenance"]["settings"]["threshold"] == 0.0004


def test_a_probability_or_setting_that_is_no_number_is_null() -> None:
    odd = Provenance("0", "m", "r", "e", "transcribe", settings={"limit": math.inf})
    made = Document("a", "a", 1.0, None, (Segment(0, 1, "a", confidence=math.nan),), (), Coverage(1.0), odd)
    read = json.loads(render_line(made, Shape()))
    assert (read["segments"][0]["confidence"], read["provenance"]["settings"]["limit"]) == (None, None)


def test_a_time_that_is_no_number_is_our_mistake_and_not_written() -> None:
    with pytest.raises(ValueError, match="JSON"):
        render_line(document(Segment(math.nan, 1, "a")), Shape())


def test_what_was_made_of_the_words_is_there_whole() -> None:
    read = json.loads(render_line(FULL, Shape()))
    assert read["events"] == [{"start": 2.5, "end": 3.0, "kind": "music", "text": "a piano", "confidence": 0.5}]
    note = {"start": 0.0, "end": 12.0, "text": "Ann greets.", "speaker": "Ann", "unreliable": "repeats itself"}
    point = {"text": "Say hello", "start": 0.123, "end": 2.0, "who": "Ann", "when": "today", "quote": "Hello there."}
    lists = ("overview", "key_points", "decisions", "action_items", "open_questions")
    assert [read["summary"][name] for name in lists] == [[{**point, "found": True, "doubt": "nobody said when"}]] * 5
    assert (read["summary"]["notes"], read["summary"]["unreliable"]) == ([note], "cut short")
    assert (read["analysis"]["notes"], read["analysis"]["facts"]["pauses"]) == ([note], FACTS.pauses)
    assert read["answers"][0]["data"] == {"who": ["Ann"]}


def test_the_seconds_of_every_kind_make_the_sum() -> None:
    coverage = Coverage(1, 2, 4, 8, 16, 32)
    read = json.loads(render_line(replace(document(), coverage=coverage), Shape()))["coverage"]
    assert (read["skipped"], read["sum"]) == (32, 63)


def test_each_list_of_a_summary_keeps_its_own_points() -> None:
    names = ("overview", "key_points", "decisions", "action_items", "open_questions")
    summary = Summary("m", **{name: (Point(name),) for name in names})
    read = to_dict(replace(document(), summary=summary))["summary"]
    assert [read[name][0]["text"] for name in names] == list(names)


def test_every_fact_is_in_its_own_field() -> None:
    names = [field.name for field in fields(Facts)]
    written = to_dict(replace(document(), analysis=Analysis("m", Facts(*range(len(names))), ())))["analysis"]["facts"]
    seconds = {"speech_s": "speech", "longest_pause_s": "longest_pause", "clipped_s": "clipped"}
    assert written == {seconds.get(name, name): index for index, name in enumerate(names)}


def test_a_level_without_a_bottom_is_null() -> None:
    silence = replace(FACTS, peak_dbfs=-math.inf, snr_db=math.nan)
    written = to_dict(replace(document(), analysis=Analysis("measured", silence, ())))["analysis"]["facts"]
    assert (written["peak_dbfs"], written["snr_db"], written["loudness_lufs"]) == (None, None, None)


@promise
@given(hostile())
def test_an_answer_in_json_is_data(text: str) -> None:
    answer = Answer("ask", None, json.dumps({"said": [text, None, 1.5]}), "json")
    read = json.loads(render_line(replace(document(), answers=(answer,)), Shape()))["answers"][0]
    assert read["data"] == {"said": [text.replace("\ud800", "\ufffd"), None, 1.5]}
    assert json.loads(read["text"])["said"][0] == text


@pytest.mark.parametrize(
    "text",
    ["", "no JSON", '{"a": 1', "NaN", "[Infinity]", "-Infinity", "1e999", "[" * 60 + "]" * 60, "[" * 9**6]
    + ["9" * 5000 + "e", '{"a": ' * 60 + "1" + "}" * 60],
)
def test_an_answer_that_no_reader_would_take_for_json_is_text_alone(text: str) -> None:
    made = replace(document(), answers=(Answer("ask", None, text, "json"),))
    (read,) = json.loads(render(made, Shape()))["answers"]
    assert (read["text"], read["data"]) == (text, None)


def test_lists_in_lists_are_data_as_deep_as_anybody_writes_them() -> None:
    assert dumped(data(Answer("ask", None, "[" * 50 + "]" * 50, "json")), indent=None) == "[" * 50 + "]" * 50


def test_text_that_happens_to_be_json_is_text() -> None:
    assert data(Answer("ask", None, "42")) is None


def test_silence_has_no_segments_and_full_coverage() -> None:
    read = json.loads(render_line(silent(), Shape()))
    validator.validate(read)
    assert (read["segments"], read["text"], read["coverage"]["share"]) == ([], "", 1.0)


def test_equal_documents_give_equal_bytes() -> None:
    assert render(document(spoken("one two", 0)), Shape()) == render(document(spoken("one two", 0)), Shape())
