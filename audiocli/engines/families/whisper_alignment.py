"""When each word was said: Whisper's cross-attention, aligned with its tokens.

In go encoder states of one clip and the tokens said over it, out come words with seconds of the clip. The method is the
reference code's: the attention of heads known to follow time, sharpened, then dynamic time warping (Sakoe and Chiba
1978). Only those heads are computed, from what the decoder's layers are given, so that any attention kernel will do.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import exp
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from audiocli.records import Word

POSITION_S = 0.02
"""One encoder position."""
MEDIAN_WIDTH = 7
"""Positions over which attention is smoothed; the reference's number."""
LONG_WORD = 2.0
"""A word next to the end of a sentence and longer than this many medians has swallowed the pause there."""
OPENING = "\"'¿¡-–—"
"""Marks that, like opening brackets, belong to the word after them where a blank parts them from the one before."""
SPOKEN = "%‰&@#*/\\§"
"""Signs of Unicode's punctuation that are read aloud."""
SENTENCE_ENDS = ".。!！?？…"
UNSPACED = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
"""Languages written without blanks: each character counts as a word."""

Attention = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Said:
    """The tokens of one segment, without timestamps, and the log probability of each."""

    tokens: Sequence[int]
    logprobs: Sequence[float]


def words(
    model: Any,
    encoded: torch.Tensor,
    prompt: Sequence[int],
    said: Sequence[Said],
    *,
    heads: Sequence[Sequence[int]],
    length_s: float,
    language: str | None,
    to_text: Callable[[Sequence[int]], str],
) -> list[tuple[Word, ...]]:
    """The words of each segment of one clip, in order, their times monotone and inside the clip.

    encoded: (positions, d); prompt: the tokens before the text, <|notimestamps|> the last; heads: (layer, head) pairs;
    to_text: decodes tokens, blanks kept. The texts of a segment's words, put end to end, are its text.
    """
    tokens = [token for part in said for token in part.tokens]
    if not tokens:
        return [() for _ in said]
    positions = max(min(round(length_s / POSITION_S), encoded.shape[0]), 1)
    attention = _attention(model, encoded[None], [*prompt, *tokens], heads)[..., :positions]
    starts_s = first_positions(_sharpen(attention)[len(prompt) - 1 :]) * POSITION_S
    found, at = [], 0
    for part in said:
        found.append([_word(spelled, part, starts_s[at:]) for spelled in _split(part.tokens, to_text, language)])
        at += len(part.tokens)
    return _without_pauses(found)


def _word(spelled: _Spelled, said: Said, starts_s: npt.NDArray[np.floating[Any]]) -> Word:
    """starts_s: when each token of the segment begins, and the one after it."""
    start_s, end_s = float(starts_s[spelled.start]), float(starts_s[spelled.stop])
    logprobs = said.logprobs[spelled.start : spelled.stop]
    return Word(round(start_s, 3), round(end_s, 3), spelled.text, round(exp(sum(logprobs) / len(logprobs)), 3))


@torch.inference_mode()
def _attention(model: Any, encoded: torch.Tensor, tokens: list[int], heads: Sequence[Sequence[int]]) -> Attention:
    """Scores of the chosen heads before softmax, float32 (heads, tokens, positions)."""
    layers = model.model.decoder.layers
    with _listening([layers[layer].encoder_attn for layer in sorted({layer for layer, _ in heads})]) as heard:
        model.model.decoder(
            input_ids=torch.tensor([tokens], device=encoded.device), encoder_hidden_states=encoded, use_cache=False
        )
    scores = []
    for layer, head in heads:
        module = layers[layer].encoder_attn
        part = slice(head * module.head_dim, (head + 1) * module.head_dim)
        query = module.q_proj(heard[module])[0, :, part] * module.scaling
        scores.append((query @ module.k_proj(encoded)[0, :, part].T).float().cpu().numpy())
    return np.stack(scores)


@contextmanager
def _listening(modules: Sequence[torch.nn.Module]) -> Iterator[dict[torch.nn.Module, torch.Tensor]]:
    """Keep the hidden states (1, tokens, d) that each attention module is asked with."""
    heard: dict[torch.nn.Module, torch.Tensor] = {}

    def keep(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        heard[module] = args[0] if args else kwargs["hidden_states"]

    handles = [module.register_forward_pre_hook(keep, with_kwargs=True) for module in modules]
    try:
        yield heard
    finally:
        for handle in handles:
            handle.remove()


def _sharpen(scores: Attention) -> Attention:
    """Softmax over time, normalized over tokens, smoothed, averaged over heads. Returns float32 (tokens, positions)."""
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    spread = weights.std(-2, keepdims=True)
    weights = (weights - weights.mean(-2, keepdims=True)) / np.maximum(spread, 1e-9)
    side = MEDIAN_WIDTH // 2
    if weights.shape[-1] > side:
        padded = np.pad(weights, ((0, 0), (0, 0), (side, side)), mode="reflect")
        weights = np.median(np.lib.stride_tricks.sliding_window_view(padded, MEDIAN_WIDTH, axis=-1), axis=-1)
    mean: Attention = weights.mean(0).astype(np.float32)
    return mean


def first_positions(gain: Attention) -> npt.NDArray[np.int64]:
    """Where the path of greatest gain enters each row. gain: (n, positions). Returns int64 (n,), ascending.

    Steps: to the next row, the next position, or both. Computed along anti-diagonals, each in one operation.
    """
    count, positions = gain.shape
    total = np.full((count + 1, positions + 1), -np.inf)
    total[0, 0] = 0.0
    step = np.zeros((count + 1, positions + 1), np.int8)
    for diagonal in range(2, count + positions + 1):
        row = np.arange(max(1, diagonal - positions), min(count, diagonal - 1) + 1)
        at = diagonal - row
        choices = np.stack([total[row - 1, at - 1], total[row - 1, at], total[row, at - 1]])
        best = choices.argmax(0)
        total[row, at] = gain[row - 1, at - 1] + choices[best, np.arange(len(row))]
        step[row, at] = best
    first = np.zeros(count, np.int64)
    row_, at_ = count, positions
    while row_ > 0 and at_ > 0:
        first[row_ - 1] = at_ - 1
        move = step[row_, at_]
        row_, at_ = row_ - int(move < 2), at_ - int(move != 1)
    return first


@dataclass(frozen=True, slots=True)
class _Spelled:
    """A word as written, and which tokens of its segment are spoken: punctuation around it takes no time."""

    text: str
    start: int
    stop: int

    @property
    def silent(self) -> bool:
        return all(sign.isspace() or _is_mark(sign) for sign in self.text)

    def __add__(self, other: _Spelled) -> _Spelled:
        """Both as one word; the tokens of one that is silent do not count unless the other is silent, too."""
        start = other.start if self.silent and not other.silent else self.start
        stop = self.stop if other.silent and not self.silent else other.stop
        return _Spelled(self.text + other.text, start, stop)


def _split(tokens: Sequence[int], to_text: Callable[[Sequence[int]], str], language: str | None) -> list[_Spelled]:
    """Words are what stands between blanks; in unspaced languages each token, or the few of one character."""
    runs: list[_Spelled] = []
    for piece in _pieces(tokens, to_text):
        if runs and language not in UNSPACED and not piece.text[0].isspace():
            runs[-1] += piece
        else:
            runs.append(piece)
    return _attached(runs)


def _attached(runs: Sequence[_Spelled]) -> list[_Spelled]:
    """Marks that stand alone go with the word before them, or with the one after where they open something."""
    found: list[_Spelled] = []
    waiting: list[_Spelled] = []
    for run in runs:
        if waiting:
            run = waiting.pop() + run
        if run.silent and (not found or _opens(run.text)):
            waiting.append(run)
        elif run.silent:
            found[-1] += run
        else:
            found.append(run)
    if found and waiting:
        found[-1] += waiting.pop()
    return found + waiting


def _pieces(tokens: Sequence[int], to_text: Callable[[Sequence[int]], str]) -> Iterator[_Spelled]:
    """The shortest runs of tokens that are text: a character can need several. All of the text, once."""
    whole, told, start = to_text(tokens), 0, 0
    for stop in range(1, len(tokens) + 1):
        so_far = to_text(tokens[:stop])
        if len(so_far) > told and whole.startswith(so_far):
            yield _Spelled(whole[told : len(so_far)], start, stop)
            told, start = len(so_far), stop


def _opens(text: str) -> bool:
    apart = text[0].isspace()
    return all(unicodedata.category(sign) in ("Ps", "Pi") or (apart and sign in OPENING) for sign in text.strip())


def _is_mark(sign: str) -> bool:
    return unicodedata.category(sign).startswith("P") and sign not in SPOKEN


def _without_pauses(found: Sequence[Sequence[Word]]) -> list[tuple[Word, ...]]:
    """Give pauses back that alignment added to the words around the end of a sentence."""
    lengths = [word.end_s - word.start_s for words in found for word in words if word.end_s > word.start_s]
    most_s = LONG_WORD * min(float(np.median(lengths)), 0.7) if lengths else 0.0
    fixed: list[tuple[Word, ...]] = []
    opens = True
    for words in found:
        kept = []
        for word in words:
            closes = word.text.rstrip()[-1:] in SENTENCE_ENDS
            if word.end_s - word.start_s > most_s and closes:
                word = replace(word, end_s=round(word.start_s + most_s, 3))
            elif word.end_s - word.start_s > most_s and opens:
                word = replace(word, start_s=round(word.end_s - most_s, 3))
            kept.append(word)
            opens = closes
        fixed.append(tuple(kept))
    return fixed
