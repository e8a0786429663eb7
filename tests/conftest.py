"""What several tests share: recordings of tones that say known words, and the command line as its users start it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from audiocli.engines.fake import tones
from audiocli.records import RATE

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "samples"

Words = Sequence[tuple[float, int]]
"""(second, number) of each word."""


@pytest.fixture
def say() -> Callable[..., Path]:
    """Write a recording that says given words to the fake engine: one list of words, or one for each channel."""

    def written(path: Path, words: Words, length_s: float, *more: Words) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        sound = np.stack([tones(one, length_s) for one in (words, *more)], axis=1)
        soundfile.write(path, sound, RATE, format="WAV")
        return path

    return written


@dataclass(frozen=True, slots=True)
class Run:
    """How one command ended."""

    code: int
    out: str
    err: str

    @property
    def documents(self) -> list[Any]:
        """stdout as one JSON document a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def events(self) -> list[Any]:
        """stderr as one JSON event a line."""
        return [json.loads(line) for line in self.err.splitlines()]

    @property
    def errors(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("audiocli: error: ")]


class CommandLine:
    """Starts audiocli in a folder of its own, with a store of its own, and nothing of the user's settings."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AUDIOCLI_", "XDG_"))}
        self.environment = {
            **kept,
            "PYTHONPATH": str(ROOT),
            "AUDIOCLI_CACHE_DIR": str(folder / "cache"),
            "AUDIOCLI_OFFLINE": "true",
            "COLUMNS": "120",
        }

    def __call__(
        self, *arguments: object, stdin: bytes | None = None, timeout_s: float = 300, **environment: str
    ) -> Run:
        """Run to the end. stdin: bytes to pipe in; environment: added to this process's."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env={**self.environment, **environment},
            input=stdin or b"",
            capture_output=True,
            timeout=timeout_s,
        )
        return Run(done.returncode, done.stdout.decode(), done.stderr.decode())

    def start(self, *arguments: object, **options: Any) -> subprocess.Popen[Any]:
        """Begin and return at once. options: of Popen."""
        return subprocess.Popen(self.command(*arguments), cwd=self.folder, env=self.environment, **options)

    @staticmethod
    def command(*arguments: object) -> list[str]:
        return [sys.executable, "-m", "audiocli", *map(str, arguments)]


@pytest.fixture(scope="session")
def audiocli_in() -> type[CommandLine]:
    """The command line in a folder that lasts longer than one test."""
    return CommandLine


@pytest.fixture
def audiocli(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)
