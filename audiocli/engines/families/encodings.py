"""What the audio encoder made of each clip, kept a while: several questions on one recording encode it once.

In go clips and the function that encodes them, out come their encodings, from memory where the same samples were
encoded before. Knows neither the model nor the questions; one table belongs to one loaded model. Third party: torch, as
a type.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from audiocli.records import Waveform

KEPT_BYTES = 256 * 2**20
"""Some 40 windows of 30 s of Qwen2-Audio (750 tokens × 4096 × 2 B = 6 MB each): more than a few batches."""


class Encodings:
    """A bounded memory of encoded clips, keyed by their samples; the one asked for longest ago goes first."""

    def __init__(self, most_bytes: int = KEPT_BYTES) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[bytes, Tensor] = OrderedDict()
        self._bytes = 0

    def get(self, clips: Sequence[Waveform], encode: Callable[[list[Waveform]], Sequence[Tensor]]) -> list[Tensor]:
        """What `encode` gives for each clip, on whatever device it left it; not to be changed by the caller.

        clips: each float32 (n,). encode: asked once, for those that are not in memory, none of them twice; not asked at
        all where every clip is. A result that alone exceeds the bound is given and not kept. Raises what `encode`
        raises, and keeps nothing then.
        """
        keys = [hashlib.blake2b(clip.tobytes(), digest_size=16).digest() for clip in clips]
        absent = {key: clip for key, clip in zip(keys, clips, strict=True) if key not in self._kept}
        made = dict(zip(absent, encode(list(absent.values())), strict=True)) if absent else {}
        found = {**{key: self._kept[key] for key in keys if key in self._kept}, **made}
        for key in keys:
            self._keep(key, found[key])
        return [found[key] for key in keys]

    def _keep(self, key: bytes, encoding: Tensor) -> None:
        if key in self._kept:
            self._kept.move_to_end(key)
            return
        if _size(encoding) > self._most_bytes:
            return
        self._kept[key] = encoding
        self._bytes += _size(encoding)
        while self._bytes > self._most_bytes:
            self._bytes -= _size(self._kept.popitem(last=False)[1])


def _size(encoding: Tensor) -> int:
    """Of the memory it holds on to: a slice keeps all that it was cut from."""
    return encoding.untyped_storage().nbytes()
