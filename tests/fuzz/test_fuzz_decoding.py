"""A short run of the fuzzer, over formats made here and the samples: the long one is started by hand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

FUZZER = Path(__file__).with_name("fuzz_decoding.py")
COUNT = 120

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs fork and limits as Linux keeps them")


def fuzz(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(FUZZER), *map(str, arguments)], capture_output=True, text=True, timeout=300
    )


def test_damaged_recordings_give_sound_or_one_line_and_never_a_crash_or_a_hang() -> None:
    run = fuzz("--count", COUNT)
    assert run.returncode == 0, run.stdout + run.stderr
    everything = next(line for line in run.stdout.splitlines() if line.startswith("all "))
    inputs, sound, warned, refused, *broken = map(int, re.findall(r"\d+", everything))
    assert inputs == COUNT == sound + warned + refused and not any(broken)
    assert min(sound, warned, refused) > COUNT // 10, "the damage is too light or too heavy to show anything"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "crash"),
        ("os._exit(3)", "crash"),
        ("signal.setitimer(signal.ITIMER_REAL, 0.05); signal.pause()", "hang"),
        ("print('muttering', file=sys.stderr, flush=True)", "noise"),
        ("raise KeyError('lost')", "exception"),
        ("raise DecodeError('two\\nlines')", "exception"),
    ],
)
def test_the_fuzzer_sees_what_it_looks_for(tmp_path: Path, code: str, kind: str) -> None:
    """With a decoder that does it."""
    (tmp_path / "broken.py").write_text(
        "import os, signal, sys\n"
        "import fuzz_decoding\n"
        "from audiocli.errors import DecodeError\n"
        "def decoder(path):\n"
        f"    {code}\n"
        "fuzz_decoding.open_audio = decoder\n"
        "sys.exit(fuzz_decoding.main())\n"
    )
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(FUZZER.parent)!r}); import runpy;"]
    command[-1] += f"sys.argv = ['fuzz', '--count', '1']; runpy.run_path({str(tmp_path / 'broken.py')!r})"
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 1 and f": {kind}: " in run.stdout, run.stdout + run.stderr


def test_a_number_gives_the_same_input_every_time() -> None:
    code = (
        f"import sys, hashlib; sys.path.insert(0, {str(FUZZER.parent)!r}); from mutations import Seed, damaged\n"
        "seeds = tuple(Seed(str(n), bytes(range(256)) * 9) for n in range(5))\n"
        "print(hashlib.sha256(b''.join(damaged(n, seeds).content for n in range(200))).hexdigest())"
    )
    first, second = (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout for _ in "12"
    )
    assert first == second != ""
