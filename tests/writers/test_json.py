"""The JSON keeps its schema, whatever was said, and what reads whisper's JSON reads it."""

from __future__ import annotations

import copy
import json
import math
from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest
from document_strategies import PROVENANCE, document, documents, promise, silent, spoken
from hypothesis import given
from jsonschema import Draft202012Validator

from audiocli.records import ChunkSpan, Coverage, Document, Gap, Provenance, Segment, Word
from audiocli.writers.json_ import SCHEMA, render, render_line, to_dict
from audiocli.writers.shape import Shape

if TYPE_CHECKING:
    from collections.abc import Iterator

schema = json.loads(resources.files("audiocli.writers").joinpath("schema.json").read_text(encoding="utf-8"))
validator = Draft202012Validator(schema)

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
)


def objects(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where in a JSON value the objects with fixed keys are."""
    if isinstance(value, dict) and path[-1:] not in [("settings",), ("libraries",)]:
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
@given(documents())
def test_every_document_follows_the_schema(made: Document) -> None:
    for rendered in (render(made, Shape()), render_line(made, Shape())):
        validator.validate(json.loads(rendered))


def test_the_sample_has_an_object_of_every_kind() -> None:
    validator.validate(to_dict(FULL))
    fixed = [definition for definition in schema["$defs"].values() if definition["type"] == "object"]
    assert len(list(objects(to_dict(FULL)))) == len(fixed) + 2  # the document itself, and loud, which is a gap as well


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


@pytest.mark.parametrize(("path", "key"), FIELDS)
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
@given(documents())
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


def test_silence_has_no_segments_and_full_coverage() -> None:
    read = json.loads(render_line(silent(), Shape()))
    validator.validate(read)
    assert (read["segments"], read["text"], read["coverage"]["share"]) == ([], "", 1.0)


def test_equal_documents_give_equal_bytes() -> None:
    assert render(document(spoken("one two", 0)), Shape()) == render(document(spoken("one two", 0)), Shape())
