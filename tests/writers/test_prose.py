"""What models write stays readable and stays text: a real Markdown parser sees paragraphs, lists, bold, and no more."""

from __future__ import annotations

import re

import pytest
from document_strategies import hostile, promise
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from audiocli.writers.prose import escape, prose
from audiocli.writers.said import line

parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])

SAFE = {"text", "softbreak", "hardbreak", "strong_open", "strong_close"}
BLOCKS = {"paragraph", "bullet_list", "ordered_list", "list_item", "inline"}


def blocks(page: str) -> list[tuple[str, str]]:
    """(block, text as a reader sees it) of a page; inline markup and HTML are named where there is any."""
    tokens = parser.parse(page)
    found = []
    for opening, token in zip(tokens, tokens[1:], strict=False):
        if token.type == "inline":
            children = token.children or []
            seen = [child.content if child.type == "text" else f"<{child.type}>" for child in children]
            found.append((opening.tag, "".join(seen)))
    return found


def shape(page: str) -> list[tuple[int, str]]:
    """(lists around it, text) of every paragraph and item."""
    depth, found = 0, []
    for token in parser.parse(page):
        depth += {"list_item_open": 1, "list_item_close": -1}.get(token.type, 0)
        if token.type == "inline":
            found.append((depth, token.content))
    return found


def words(text: str) -> list[str]:
    """Letters and digits in a row, without the numbers of a list: these the list itself shows."""
    return re.findall(r"[^\W\d_]+", text)


markdown = st.lists(
    st.tuples(
        st.sampled_from(["", " ", "  ", "    ", "\t", "      "]),
        st.sampled_from(["", "- ", "* ", "1. ", "2) ", "# ", "> ", "```", "    ", "| ", "---", "===", "[a]: ", "• "]),
        hostile(3)
        | st.sampled_from(
            ["**bold**", "**not bold", "****", "** x **", "plain words", "[0:05]", "[0:05]: x", "[0:05](x)"]
        ),
    ).map("".join),
    max_size=8,
).map("\n".join)
"""Lines such as models write, and such as they should not."""


@promise
@given(hostile().filter(line))
def test_escaped_text_reads_as_that_text_wherever_it_stands(text: str) -> None:
    said = line(text)
    assert blocks(escape(text)) == [("p", said)]
    assert blocks(f"# {escape(text)}") == [("h1", said)]
    assert blocks(f"- {escape(text)}") == [("p", said)]
    assert blocks(f"[0:00] {escape(text)}") == [("p", f"[0:00] {said}")]


@pytest.mark.parametrize(
    "said",
    ["# no title", "1. no list", "2) nor this", "- nor this", "+ nor", "> no quote", "===", "---", "``` no code", "***"]
    + ["<script>alert(1)</script>", "<!-- hidden", "&lt; &#60; AT&T", "[a](javascript:b)", "![x](y)", "[x]: http://y"]
    + ["*a* _b_ __c__ ~~d~~ `e`", "| a | b |", "back\\slash \\", "$x$", "5 # # ##", "<http://a.b>", "snake_case_name"]
    + [
        "[0:05](http://x)",
        "[0:05]: http://x",
        "[0:05][0:05]: x",
        "![0:05](y)",
        "[0:05] [x](y)",
        "a [0:05](y)",
        "[1:2]",
    ],
)
def test_markup_in_the_recording_stays_text(said: str) -> None:
    assert blocks(escape(said)) == [("p", said)]
    assert blocks(f"# {escape(said)}") == [("h1", said)]
    assert "<" not in escape(said)


def test_ordinary_text_is_not_disfigured() -> None:
    said = "Well, AT&T's meeting_2024.mp3 cost 3.5 % (or more): naïve? \"No!\" – it's fine; 吾輩は猫である。"
    assert escape(said) == said


def test_times_in_brackets_are_not_disfigured() -> None:
    for said in ("[0:05] Opening", "SOUND [1:02:03-1:02:09]: a door", "at [10:00–11:30]"):
        assert escape(said) == said
        assert blocks(prose(f"- {said}\n- [0:05]: http://x\n\n{said}"))[::2] == [("p", said), ("p", said)]


@promise
@given(markdown)
def test_prose_is_paragraphs_lists_and_bold_and_nothing_else(text: str) -> None:
    tokens = parser.parse(prose(text))
    assert {token.type.removesuffix("_open").removesuffix("_close") for token in tokens} <= BLOCKS
    assert {child.type for token in tokens for child in token.children or []} <= SAFE
    assert "<" not in prose(text)


@promise
@given(markdown)
def test_prose_keeps_every_word_in_its_order(text: str) -> None:
    shown = "\n".join(child.content or "\n" for token in parser.parse(prose(text)) for child in token.children or [])
    assert words(shown) == words("\n".join(map(line, text.splitlines())))


@pytest.mark.parametrize(
    "said",
    [
        "# Title",
        "### Part",
        "<b>x</b>",
        "<script>alert(1)</script>",
        "![x](http://y)",
        "[click](javascript:a)",
        "> quote",
    ]
    + [
        "```",
        "~~~",
        "| a | b |",
        "---",
        "***",
        "___",
        "===",
        "[x]: http://y",
        "<!-- x -->",
        "&lt;",
        "*leaning*",
        "`x`",
    ],
)
def test_all_other_markup_of_a_model_is_shown_as_it_wrote_it(said: str) -> None:
    assert blocks(prose(f"Before\n{said}\nAfter")) == [("p", f"Before<hardbreak>{said}<hardbreak>After")]
    assert blocks(prose(f"Before\n\n{said}\n\nAfter")) == [("p", "Before"), ("p", said), ("p", "After")]
    assert blocks(prose(f"- Before\n- {said}")) == [("p", "Before"), ("p", said)]


def test_paragraphs_keep_their_lines() -> None:
    assert prose("\n\nOne.\nTwo.\n\n \nThree.\n\n") == "One.  \nTwo.\n\nThree."


def test_lists_stay_lists_whatever_marks_them() -> None:
    assert prose("They agree:\n* a\n• b\n+ c\nThat is all.") == "They agree:\n\n- a\n- b\n- c\n\nThat is all."
    assert prose("1) a\n2) b\n\n10. c") == "1. a\n2. b\n\n10. c"


def test_a_list_in_a_list_stays_inside() -> None:
    written = "1. one\n   - inner\n     * innermost\n   - inner too\n2. two\n\tgoes on"
    assert shape(prose(written)) == [(1, "one"), (2, "inner"), (3, "innermost"), (2, "inner too"), (1, "two goes on")]


def test_lists_that_go_ever_deeper_do_not_push_their_text_off_the_page() -> None:
    steep = "\n".join(" " * depth + "- x" for depth in range(50))
    assert max(len(written) - len(written.lstrip()) for written in prose(steep).splitlines()) == 12
    assert [text for _, text in shape(prose(steep))] == ["x"] * 50


def test_bold_stays_bold() -> None:
    assert blocks(prose("**Ann:** says **5 * 3** and 2 ** 3 ** 4")) == [
        ("p", "<strong_open>Ann:<strong_close> says **5 * 3** and 2 ** 3 ** 4")
    ]
    assert blocks(prose("- **<b>_x_**")) == [("p", "<strong_open><b>_x_<strong_close>")]


def test_a_year_at_the_start_of_a_line_is_no_list() -> None:
    assert blocks(prose("It began in\n2024. It ends now.")) == [("p", "It began in<hardbreak>2024. It ends now.")]


def test_an_indented_line_is_no_code() -> None:
    assert blocks(prose("    deep\n\n\ttab")) == [("p", "deep"), ("p", "tab")]


def test_blank_text_is_no_block() -> None:
    assert prose(" \n\t\n\x00") == ""
