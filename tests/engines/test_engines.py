"""Engines are found by name: ours, and those that other packages bring."""

from __future__ import annotations

from pathlib import Path

import pytest

from audiocli import engines
from audiocli.engines import Blueprint, EngineOptions
from audiocli.errors import ModelError, UsageError

PLUGIN = """
from dataclasses import replace
from audiocli.engines import fake

def blueprint(options):
    return replace(fake.blueprint(options), engine="parrot", model=options.model)

def careless(options):
    return "no blueprint"
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A distribution with engines, as pip would leave it."""
    (tmp_path / "parrot_plugin.py").write_text(PLUGIN)
    info = tmp_path / "parrot_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: parrot-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[{engines.ENTRY_POINTS}]\n"
        "parrot = parrot_plugin:blueprint\n"
        "careless = parrot_plugin:careless\n"
        "absent = no_such_module_anywhere:blueprint\n"
        "nameless = parrot_plugin:no_such_function\n"
        "fake = parrot_plugin:careless\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_ours_are_named_first() -> None:
    assert engines.names()[:2] == ("transformers", "fake")


def test_an_engine_of_another_package_is_found_by_its_entry_point(installed: Path) -> None:
    assert {"parrot", "careless"} <= set(engines.names())
    plan = engines.blueprint(EngineOptions(engine="parrot", model="polly"))
    assert isinstance(plan, Blueprint)
    assert (plan.engine, plan.model) == ("parrot", "polly")


def test_no_other_package_takes_the_name_of_ours(installed: Path) -> None:
    assert engines.names().count("fake") == 1
    assert engines.blueprint(EngineOptions(engine="fake")).model == "fake"


def test_an_unknown_engine_is_refused_with_those_there_are(installed: Path) -> None:
    with pytest.raises(UsageError, match="no engine 'whisper'; choose from transformers, fake, .*parrot"):
        engines.blueprint(EngineOptions(engine="whisper"))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("absent", r"engine 'absent' \(no_such_module_anywhere:blueprint\) cannot be imported: No module named"),
        ("nameless", r"engine 'nameless' \(parrot_plugin:no_such_function\) cannot be imported: "),
        ("careless", "engine 'careless' is broken: it gave str for a Blueprint"),
    ],
)
def test_an_engine_that_is_broken_is_named(name: str, why: str, installed: Path) -> None:
    with pytest.raises(ModelError, match=why):
        engines.blueprint(EngineOptions(engine=name))


def test_by_default_models_run_in_this_process() -> None:
    assert engines.blueprint(EngineOptions(device="cpu")).engine == "transformers"
