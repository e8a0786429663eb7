"""Word error rates of audiocli and of other Whisper programs on the same weights and the same recordings.

In come recordings with a human or known English reference; out come a report in Markdown and each program's texts as
JSON. audiocli is used through its command line, as its users use it, and so this module knows nothing of its inside.

    python -m benchmarks.accuracy --audio FOLDER --peers openai-whisper,faster-whisper

The folder of recordings holds a `manifest.jsonl`, one JSON object a line with at least `path`, `lang`, `text` and
`text_quality`. A `NAME.ref.json` beside a recording lists its segments with text and channel; its channels are then
heard one by one as well. `samples/` is always measured, against the `.txt` beside each recording.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jiwer
import soundfile
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

from benchmarks import peers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[1]
EMBEDDED = ROOT / "audiocli" / "models" / "whisper-tiny.en"
FIT = {"human", "book", "known"}
"""Kinds of reference that tell what was said; the others are scripts that a speaker may have left, or guesses."""

Texts = dict[str, str]
"""What one program wrote, by the recording's name."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A file to hear, and what is said in it."""

    name: str
    """Folder and file name as the report shows them, with `#n` for one channel."""
    file: Path
    reference: str

    @property
    def folder(self) -> str:
        return self.name.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class Score:
    """Words of the reference, and how many had to be changed, removed or added to get there."""

    words: int = 0
    errors: int = 0
    changes: tuple[str, ...] = ()
    """Each change, as "reference → heard"."""

    def __add__(self, other: Score) -> Score:
        return Score(self.words + other.words, self.errors + other.errors)

    def __str__(self) -> str:
        """In percent; where nothing is said, the number of words that were heard all the same."""
        return f"{100 * self.errors / self.words:.2f}" if self.words else f"+{self.errors}"


# Recordings


def described(audio: Path, work: Path) -> Iterator[Recording]:
    """The recordings of a manifest whose English reference is fit for word error rates, and their channels."""
    for line in (audio / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        quality = set((row["text_quality"] or "?").split("+"))
        if row["lang"] == "en" and row["text"] and quality <= FIT:
            recording = Recording(row["path"], audio / row["path"], row["text"])
            yield recording
            if (utterances := recording.file.with_suffix(".ref.json")).exists():
                yield from channels(recording, json.loads(utterances.read_text(encoding="utf-8"))["segments"], work)


def sampled(folder: Path, work: Path) -> Iterator[Recording]:
    """The recordings that come with the project, each beside its text and its utterances, and their channels."""
    for text in sorted(folder.glob("*.txt")):
        for file in sorted(folder.glob(f"{text.stem}.*")):
            if file.suffix not in {".txt", ".json"}:
                recording = Recording(f"samples/{file.name}", file, text.read_text(encoding="utf-8"))
                yield recording
                yield from channels(recording, json.loads(text.with_suffix(".json").read_text(encoding="utf-8")), work)


def channels(recording: Recording, utterances: Sequence[Mapping[str, Any]], work: Path) -> Iterator[Recording]:
    """Each channel as a recording of its own, where the reference tells who speaks on which of several."""
    said: dict[int, list[str]] = defaultdict(list)
    for utterance in utterances:
        said[utterance.get("channel") or 0].append(utterance["text"])
    if len(said) < 2:
        return
    samples, rate = soundfile.read(recording.file, always_2d=True)
    for channel, texts in sorted(said.items()):
        mono = work / f"{recording.file.stem}.{channel}.wav"
        soundfile.write(mono, samples[:, channel], rate)
        yield Recording(f"{recording.name}#{channel}", mono, " ".join(texts))


def staged(recordings: Iterable[Recording], folder: Path) -> dict[Path, Recording]:
    """A link to each recording under a name without its like: audiocli refuses two inputs with one output."""
    folder.mkdir(parents=True, exist_ok=True)
    links = {}
    for recording in recordings:
        unique = recording.name.replace("/", "__").replace("#", "__").replace(".", "_")
        link = folder / f"{unique}{recording.file.suffix}"
        link.unlink(missing_ok=True)
        link.symlink_to(recording.file.resolve())
        links[link] = recording
    return links


# Programs


def audiocli_texts(links: Mapping[Path, Recording], model: str, output: Path) -> Texts:
    """What `audiocli transcribe` writes, all of it heard anew; a recording it fails on has no text."""
    shutil.rmtree(output, ignore_errors=True)  # a file that fails now must not be judged by what was written before
    command = [sys.executable, "-m", "audiocli", "transcribe", *map(str, links), "-o", str(output), "-f", "json"]
    code = subprocess.run([*command, "--model", model, "--no-cache"], stdout=sys.stderr).returncode
    if code not in (0, 4, 5):  # done, some failed, some not covered; anything else is no result to compare
        raise SystemExit(f"audiocli stopped with exit code {code}")
    documents = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(output.rglob("*.json"))]
    return {links[Path(made["source"])].name: made["text"] for made in documents if Path(made["source"]) in links}


def peer_texts(system: str, weights: Path, links: Mapping[Path, Recording], work: Path, python: Path) -> Texts:
    """What a peer writes. Kept under `work` for the next time, with the fingerprint of the weights."""
    peer, *options = system.split()
    kept = work / f"{'_'.join([peer, *options])}.json"
    digest = peers.fingerprint(weights)
    earlier = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    results: dict[str, Any] = earlier.get("results", {}) if earlier.get("weights") == digest else {}
    missing = {str(link): recording.name for link, recording in links.items() if recording.name not in results}
    for result in peers.run(python, peer, weights, work, [Path(file) for file in missing], *options) if missing else ():
        results[missing[result.file]] = result._asdict()
        kept.write_text(json.dumps({"weights": digest, "results": results}, indent=1), encoding="utf-8")
    return {recording.name: results[recording.name]["text"] for recording in links.values()}


# Scores


def normalizer(weights: Path) -> Callable[[str], str]:
    """Whisper's English normalizer; with its table of British spellings where the model's folder has one."""
    spellings = weights / "normalizer.json"
    table = json.loads(spellings.read_text(encoding="utf-8")) if spellings.exists() else {}
    normalize: Callable[[str], str] = EnglishTextNormalizer(table)  # type: ignore[no-untyped-call]
    return normalize


def spoken(reference: str) -> str:
    """A reference as it was read out: Whisper's normalizer drops what is in brackets, as noise, but here it was said.

    Typographic apostrophes become plain ones, the only ones it knows: "beauty’s" would count as two words, one wrong.
    """
    return reference.translate(dict.fromkeys(map(ord, "()[]<>"), " ") | {ord("’"): "'"})


def score(reference: str, heard: str) -> Score:
    """Compare two normalized texts."""
    aligned = jiwer.process_words(reference, heard)
    (said,), (words,) = aligned.references, aligned.hypotheses
    changes = tuple(
        f"{' '.join(said[part.ref_start_idx : part.ref_end_idx]) or '∅'} → "
        f"{' '.join(words[part.hyp_start_idx : part.hyp_end_idx]) or '∅'}"
        for part in aligned.alignments[0]
        if part.type != "equal"
    )
    return Score(len(said), aligned.substitutions + aligned.deletions + aligned.insertions, changes)


Scores = dict[str, dict[str, Score]]
"""By recording, then by program."""


def scores(recordings: Sequence[Recording], texts: Mapping[str, Texts], normalize: Callable[[str], str]) -> Scores:
    return {
        recording.name: {
            system: score(normalize(spoken(recording.reference)), normalize(made.get(recording.name, "")))
            for system, made in texts.items()
        }
        for recording in recordings
    }


# Report


def pooled(recordings: Sequence[Recording], scored: Scores, systems: Sequence[str]) -> dict[str, dict[str, Score]]:
    """Errors over words of each folder and of all, by program."""
    sums: dict[str, dict[str, Score]] = defaultdict(lambda: dict.fromkeys(systems, Score()))
    for recording in recordings:
        for group in (recording.folder, "all"):
            for system in systems:
                sums[group][system] += scored[recording.name][system]
    return {group: sums[group] for group in sorted(sums, key=lambda group: (group == "all", group))}


def table(rows: Mapping[str, Mapping[str, Score]], systems: Sequence[str]) -> list[str]:
    lines = [f"| | words | {' | '.join(systems)} |", f"|---|---:|{'---:|' * len(systems)}"]
    for name, row in rows.items():
        cells = " | ".join(str(row[system]) for system in systems)
        lines.append(f"| {name} | {row[systems[0]].words} | {cells} |")
    return lines


def differences(scored: Scores, systems: Sequence[str]) -> Iterator[str]:
    """Where the programs do not make the same errors: which ones each makes."""
    for name, row in scored.items():
        if len({row[system].changes for system in systems}) > 1:
            yield f"- **{name}**"
            yield from (f"  - {system}: {'; '.join(row[system].changes) or 'no error'}" for system in systems)


def report(recordings: Sequence[Recording], scored: Scores, systems: Sequence[str], model: str) -> str:
    lines = ["# Word error rates in percent", ""]
    lines += [f"{len(recordings)} recordings, model `{model}`; audiocli as it comes, its peers greedily, no retries."]
    lines += ["Texts go through Whisper's English normalizer; `+n` are words heard where none are said.", ""]
    lines += ["## By folder", "", *table(pooled(recordings, scored, systems), systems), ""]
    lines += ["## By recording", "", *table(scored, systems), ""]
    if len(systems) > 1:
        lines += ["## Differences", "", *differences(scored, systems), ""]
    return "\n".join(lines)


# Command line


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__.partition("\n")[0])
    folder = os.environ.get("AUDIOCLI_BENCH_AUDIO")
    parser.add_argument("--audio", type=Path, default=folder, help="folder of recordings [$AUDIOCLI_BENCH_AUDIO]")
    parser.add_argument("--peers", default="", help=f"programs to compare with, by comma: {', '.join(peers.PEERS)}")
    parser.add_argument("--model", default="tiny.en", help="model of audiocli, a folder where there are peers")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "accuracy", help="for texts and weights")
    parser.add_argument("--peers-env", type=Path, help="virtual environment of the peers [WORK/env]")
    parser.add_argument("--report", type=Path, help="the Markdown file to write [WORK/report.md]")
    arguments = parser.parse_args()
    arguments.peers = [name for name in arguments.peers.split(",") if name]
    if unknown := [name for name in arguments.peers if name not in peers.PEERS]:
        parser.error(f"unknown peer {unknown[0]}: choose from {', '.join(peers.PEERS)}")
    arguments.weights = EMBEDDED if arguments.model == "tiny.en" else Path(arguments.model)
    if arguments.peers and not (arguments.weights / "model.safetensors").exists():
        parser.error(f"peers need the weights, and {arguments.weights} is no folder with a model.safetensors")
    return arguments


def main() -> None:
    arguments = parsed()
    work: Path = arguments.work
    (work / "channels").mkdir(parents=True, exist_ok=True)
    recordings = list(sampled(ROOT / "samples", work / "channels"))
    if arguments.audio:
        recordings += described(arguments.audio, work / "channels")
    if not recordings:
        raise SystemExit("no recording with a reference: give --audio FOLDER")
    links = staged(recordings, work / "links")
    texts = {"audiocli": audiocli_texts(links, arguments.model, work / "audiocli")}
    if arguments.peers:
        python = peers.environment(arguments.peers_env or work / "env")
        for system in (f"{peer}{option}" for peer in arguments.peers for option in ("", " --no-condition")):
            texts[system] = peer_texts(system, arguments.weights, links, work, python)
    scored = scores(recordings, texts, normalizer(arguments.weights))
    page = report(recordings, scored, list(texts), arguments.model)
    (arguments.report or work / "report.md").write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
