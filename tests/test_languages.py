"""What `audiocli.languages` promises: the languages Whisper was trained on, by code and by name."""

from __future__ import annotations

import pytest
from transformers.models.whisper.tokenization_whisper import LANGUAGES as THEIRS
from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

from audiocli.errors import UsageError
from audiocli.languages import LANGUAGES, code


def test_the_languages_are_those_of_whisper():
    assert LANGUAGES == THEIRS


def test_every_code_and_every_name_leads_to_its_code_in_any_case():
    for language, name in LANGUAGES.items():
        assert code(language) == code(f" {language.upper()} ") == code(name) == code(name.title()) == language


def test_other_names_of_a_language_are_those_of_whisper():
    assert {name: code(name) for name in TO_LANGUAGE_CODE} == TO_LANGUAGE_CODE


@pytest.mark.parametrize(
    ("asked", "says"),
    [("germn", "no language 'germn'; did you mean 'german'?"), ("", "give a code such as 'en'"), ("qqq", "qqq")],
)
def test_a_language_that_is_not_one_is_refused_with_the_nearest(asked, says):
    with pytest.raises(UsageError) as raised:
        code(asked)
    assert says in str(raised.value)
