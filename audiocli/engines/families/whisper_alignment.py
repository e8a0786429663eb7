"""When each word was said: Whisper's cross-attention, aligned with its tokens.

In go encoder states of one clip and the tokens said over it, out come words with seconds of the clip. The method is the
reference code's: the attention of heads known to follow time, sharpened, then dynamic time warping (Sakoe and Chiba
1978). Only those heads are computed, from what the decoder's layers are given, so that any attention kernel will do.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
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
OPENING, CLOSING = "\"'“¿([{-«„", "\"'.。,，!！?？:：”)]}、»…"
"""Punctuation that belongs to the word after it, and to the word before it."""
SENTENCE_ENDS = ".。!！?？…"
UNSPACED = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
"""Languages written without blanks: each character counts as a word."""

Attention = npt.NDArray[np.float32]


def words(
    model: Any,
    encoded: torch.Tensor,
    prompt: Sequence[int],
    tokens: Sequence[int],
    logprobs: Sequence[float],
    *,
    heads: Sequence[Sequence[int]],
    length_s: float,
    language: str | None,
    to_text: Callable[[Sequence[int]], str],
) -> list[Word]:
    """The words of one clip, in order, their times monotone and inside the clip.

    encoded: (positions, d); prompt: the tokens before the text, <|notimestamps|> among them; tokens: text only, no
    timestamps; logprobs: one a token; heads: (layer, head) pairs; to_text: decodes tokens, blanks kept.
    """
    if not tokens:
        return []
    positions = max(min(round(length_s / POSITION_S), encoded.shape[0]), 1)
    attention = _attention(model, encoded[None], [*prompt, *tokens], heads)[..., :positions]
    rows = _sharpen(attention)[len(prompt) - 1 :]
    starts = _first_positions(rows) * POSITION_S
    found, at = [], 0
    for text, count in _split(tokens, to_text, unspaced=language in UNSPACED):
        start_s, end_s = float(starts[at]), float(starts[at + count])
        confidence = exp(sum(logprobs[at : at + count]) / count)
        found.append(Word(round(start_s, 3), round(max(end_s, start_s), 3), text, round(confidence, 3)))
        at += count
    return _without_pauses(_with_punctuation(found))


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


def _first_positions(gain: Attention) -> npt.NDArray[np.int64]:
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


def _split(tokens: Sequence[int], to_text: Callable[[Sequence[int]], str], *, unspaced: bool) -> list[tuple[str, int]]:
    """Words as (text, number of tokens). A character of several tokens stays whole."""
    characters: list[tuple[str, int]] = []
    start = 0
    for stop in range(1, len(tokens) + 1):
        text = to_text(tokens[start:stop])
        if "\ufffd" not in text or stop == len(tokens):
            characters.append((text, stop - start))
            start = stop
    found: list[tuple[str, int]] = []
    for text, count in characters:
        alone = text.strip() and all(unicodedata.category(sign).startswith("P") for sign in text.strip())
        if not found or unspaced or text.startswith(" ") or alone:
            found.append((text, count))
        else:
            found[-1] = (found[-1][0] + text, found[-1][1] + count)
    return found


def _with_punctuation(found: Sequence[Word]) -> list[Word]:
    """Join opening marks to the word after them and closing ones to the word before, as they are written."""
    joined: list[Word] = []
    for word in found:
        sign = word.text.strip()
        before = joined[-1] if joined else None
        if before and sign and all(mark in CLOSING for mark in sign) and not word.text.startswith(" "):
            joined[-1] = replace(before, text=before.text + word.text)
        elif before and before.text.strip() and all(mark in OPENING for mark in before.text.strip()):
            joined[-1] = replace(word, text=before.text + word.text.lstrip(" "))
        elif before and sign and not word.text.startswith(" ") and before.text.endswith(("-", "'", "’")):
            joined[-1] = replace(before, text=before.text + word.text, end_s=word.end_s)
        else:
            joined.append(word)
    return joined


def _without_pauses(found: list[Word]) -> list[Word]:
    """Give pauses back that alignment added to the words around the end of a sentence."""
    lengths = [word.end_s - word.start_s for word in found if word.end_s > word.start_s]
    if not lengths:
        return found
    most_s = LONG_WORD * min(float(np.median(lengths)), 0.7)
    fixed: list[Word] = []
    for word in found:
        if word.end_s - word.start_s > most_s:
            if word.text.rstrip()[-1:] in SENTENCE_ENDS:
                word = replace(word, end_s=round(word.start_s + most_s, 3))
            elif not fixed or fixed[-1].text.rstrip()[-1:] in SENTENCE_ENDS:
                word = replace(word, start_s=round(word.end_s - most_s, 3))
        fixed.append(word)
    return fixed
