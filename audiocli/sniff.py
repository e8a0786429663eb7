"""What a file is by its bytes, where that is not simply sound: a name for it instead of an error code, and the doubts
about a WAV header. A path or a file's first bytes come in, one-line messages go out. This room decodes nothing and
knows no library.
"""

from __future__ import annotations

import codecs
import os
import re
from typing import TYPE_CHECKING, NamedTuple

from audiocli.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEAD = 4096
"""Bytes at the start of a file that are enough to name it."""
SHORT = 40
"""Bytes: no format gets from its header to its sound in fewer."""
CONTAINERS = (
    (0, b"RIFF", "WAV"),
    (0, b"RIFX", "big-endian WAV"),
    (0, b"RF64", "WAV (RF64)"),
    (0, b"FORM", "AIFF"),
    (0, b"caff", "CAF"),
    (0, b".snd", "AU"),
    (0, b"fLaC", "FLAC"),
    (0, b"OggS", "Ogg"),
    (0, b"ID3", "MP3"),
    (0, b"\x1aE\xdf\xa3", "Matroska or WebM"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "WMA"),
    (0, b"MAC ", "Monkey's Audio"),
    (0, b"DSD ", "DSF"),
    (0, b"wvpk", "WavPack"),
    (0, b"#!AMR", "AMR"),
    (4, b"ftyp", "MP4"),
    (4, b"moov", "MP4"),
)
FOREIGN = (
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"Rar!\x1a", "a RAR archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (0, b"\x1f\x8b\x08", "a gzip archive"),
    (0, b"BZh", "a bzip2 archive"),
    (0, b"\xfd7zXZ\0", "an xz archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"%PDF-", "a PDF document"),
    (0, b"\x89PNG\r\n", "a PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"GIF8", "a GIF picture"),
    (0, b"MThd", "a MIDI file, which holds notes and no sound"),
    (0, b"SQLite format 3\0", "a database"),
    (0, b"\x7fELF", "a program"),
    (0, b"#EXTM3U", "a playlist"),
    (0, b"[playlist]", "a playlist"),
    (0, b"ffconcat", "a list of files"),
    (0, b"version https://git-lfs", "a Git LFS pointer to a file that was not fetched"),
    (0, b"<?xml", "an XML document"),
)
HTML = re.compile(rb"\s*<(!doctype\s+html|html|head|body)\b", re.IGNORECASE)


class Wav(NamedTuple):
    tag: int
    """Codec: 1 is PCM, 0x50 MPEG layer 1 or 2, 0x55 layer 3."""
    bytes_per_s: int
    promised: int
    """Bytes of sound by the header."""
    present: int
    """Bytes between the header and the end of the file."""
    more: bool
    """Another WAV file follows."""


def wav_layout(path: Path) -> Wav | None:
    """Walks the chunks of a WAV file, as libsndfile corrects a wrong size without a word; None if it is none."""
    with path.open("rb") as file:
        end = os.fstat(file.fileno()).st_size
        if file.read(4) != b"RIFF" or file.seek(8) != 8 or file.read(4) != b"WAVE":
            return None
        tag = bytes_per_s = 0
        while len(header := file.read(8)) == 8:
            name, length = header[:4], int.from_bytes(header[4:], "little")
            at = file.tell()
            if name == b"fmt ":
                fmt = file.read(12)
                tag, bytes_per_s = int.from_bytes(fmt[:2], "little"), int.from_bytes(fmt[8:12], "little")
            elif name == b"data":
                file.seek(min(at + length + length % 2, end))
                return Wav(tag, bytes_per_s, length, end - at, file.read(4) == b"RIFF")
            file.seek(min(at + length + length % 2, end))
    return None


def wav_doubts(wav: Wav | None) -> Iterator[str]:
    if wav is None or not wav.bytes_per_s:
        return
    if wav.promised == 0 or (wav.promised >= 0x7FFF_0000 and wav.present < wav.promised):
        yield "the header does not say how long the sound is; read to the end of the file"
    elif wav.present < wav.promised:
        promised_s, present_s = wav.promised / wav.bytes_per_s, wav.present / wav.bytes_per_s
        yield f"truncated, or a wrong size: the header promises {promised_s:.1f} s, the file holds {present_s:.1f} s"
    if wav.more:
        yield "another recording follows in the same file; only the first was read"


# What else it is


def refuse(head: bytes, *, headerless: bool) -> None:
    """Stops what is certainly not sound before FFmpeg finds MP3 frames in it."""
    if not head:
        raise DecodeError("empty file")
    if HTML.match(head):
        raise DecodeError("not audio: an HTML page")
    for at, magic, name in FOREIGN:
        if head.startswith(magic, at):
            raise DecodeError(f"not audio: {name}")
    if headerless and _is_text(head):
        raise DecodeError("not audio: a text file")


def _is_text(head: bytes) -> bool:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return head.count(0) > len(head) / 4  # MPEG frames can start with the same two bytes
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return all(char >= " " or char in "\t\n\r\f\v\x1b" for char in text)


def explain(path: Path, head: bytes, size: int) -> str:
    """Says in one line why neither decoder found sound."""
    name = next((name for at, magic, name in CONTAINERS if head.startswith(magic, at)), None)
    if name and size < SHORT:
        return f"truncated: the {name} file ends inside its header ({size} bytes)"
    if name == "MP4" and not _has_atom(path, b"moov"):
        return "MP4 without its index (moov atom): the recording was cut off before it was finished"
    if name:
        return f"{name} header, but no audio data that can be decoded"
    if _is_zero(path):
        return "not audio: only zero bytes"
    if _is_text(head):
        return "not audio: a text file"
    if path.suffix.lower() in {".raw", ".pcm", ".sln"}:
        return "sound without a header, so its rate and format are not known; convert it to WAV first"
    if size < SHORT:
        return f"truncated: {size} bytes are too few for any audio format"
    return "not audio in any format known here"


def _has_atom(path: Path, name: bytes) -> bool:
    size = path.stat().st_size
    with path.open("rb") as file:
        while len(header := file.read(8)) == 8:
            length = int.from_bytes(header[:4], "big")
            if header[4:] == name:
                return True
            if length == 1:
                length = int.from_bytes(file.read(8), "big") - 8
            if not 8 <= length <= size:  # also what no seek would take
                return False
            file.seek(length - 8, os.SEEK_CUR)
    return False


def _is_zero(path: Path) -> bool:
    with path.open("rb") as file:
        return all(block.count(0) == len(block) for block in iter(lambda: file.read(2**20), b""))
