"""How long an audio file says that it is: checked where it says so, filled in where it says "unknown".

Programs that write to a pipe cannot go back to the header when they know the length. They leave a size of zero or
one near the largest that fits, and readers are to read to the end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from advaudio.datasets import flac, ogg
from advaudio.datasets.bad_audio import BadAudio
from advaudio.datasets.mp3 import read_stream, skip_tags

# How near to the largest number a size means "unknown": programs subtract the header's bytes from it.
NEAR = 2**16
CONTAINERS = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM", b"fLaC", b"OggS", b".snd", b"caff")
# Starts of files that libsndfile does not read, though people have them.
FOREIGN = (
    (re.compile(rb"....ftyp", re.DOTALL), "MPEG-4", "m4a"),
    (re.compile(rb"\x1aE\xdf\xa3"), "Matroska", "webm"),
    (re.compile(rb"0&\xb2u\x8ef\xcf\x11"), "Windows Media", "wma"),
    (re.compile(rb"\xff[\xf0\xf1\xf8\xf9]"), "AAC", "aac"),
    (re.compile(rb"#!AMR"), "AMR", "amr"),
    (re.compile(rb"wvpk"), "WavPack", "wv"),
    (re.compile(rb"MAC "), "Monkey's Audio", "ape"),
)


@dataclass(frozen=True)
class Sized:
    """A file that libsndfile reads to its end.

    Attributes
    ----------
    content
        Its bytes, with the length filled in where it was unknown.
    samples
        Samples a channel that must come out; None if libsndfile knows.
    """

    content: bytes
    samples: int | None = None


def settle_length(content: bytes, longest: float) -> Sized:
    """Compare what a file says of its length with what is there; fill it in where it says "unknown".

    Parameters
    ----------
    content
        The file; tags before it (ID3v2) are dropped.
    longest
        Seconds up to which the frames of an mp3 are counted.

    Raises
    ------
    BadAudio
        If it says that it is longer than it is.
    """
    start = skip_tags(content)
    if start and content[start : start + 4] in CONTAINERS:
        content = content[start:]
    kind = content[:4]
    if kind in (b"RIFF", b"RIFX", b"RF64", b"BW64") and content[8:12] == b"WAVE":
        return Sized(_wave(content))
    if kind == b"FORM" and content[8:12] in (b"AIFF", b"AIFC"):
        place = _find_chunk(content, b"SSND", 12, 4, "big")
        return Sized(content if place is None else _settled(content, place + 4, 4, "big", place + 8))
    if kind == b"caff":
        place = _find_chunk(content, b"data", 8, 8, "big")
        return Sized(content if place is None else _settled(content, place + 4, 8, "big", place + 12))
    if kind == b".snd":
        return Sized(_settled(content, 8, 4, "big", int.from_bytes(content[4:8], "big")))
    if kind == b"OggS":
        return Sized(_ogg(content))
    if kind == b"fLaC":
        return Sized(flac.state_length(content))
    if kind in CONTAINERS:
        return Sized(content)
    return _mpeg(content, longest)


def name_format(content: bytes) -> tuple[str, str] | None:
    """Name and usual extension of a format that is known and not read; None for any other."""
    content = content[skip_tags(content) :]
    return next(((name, ending) for start, name, ending in FOREIGN if start.match(content)), None)


def means_unknown(size: int, width: int) -> bool:
    """Whether a size field of `width` bytes says that the size was not known when it was written."""
    half = 1 << (8 * width - 1)
    return size == 0 or abs(size - half) <= NEAR or 2 * half - size <= NEAR


def _truncated(present: int, stated: int, unit: str) -> BadAudio:
    return BadAudio(f"it is truncated: {present} of the {stated} {unit} are there")


def _settled(content: bytes, place: int, width: int, order: Literal["little", "big"], start: int) -> bytes:
    """Check the size at `place` of the samples that begin at `start`, or fill it in."""
    stated = int.from_bytes(content[place : place + width], order)
    present = max(0, len(content) - start)
    if not means_unknown(stated, width):
        # A few bytes less are a writer's miscount.
        if present < 0.99 * stated:
            raise _truncated(present, stated, "bytes of its samples")
        return content
    if stated == 0 and _only_chunks(content, start, width, order):
        return content
    return content[:place] + present.to_bytes(width, order) + content[place + width :]


def _wave(content: bytes) -> bytes:
    order: Literal["little", "big"] = "big" if content[:4] == b"RIFX" else "little"
    place = _find_chunk(content, b"data", 12, 4, order)
    if place is None:
        return content
    if content[:4] in (b"RF64", b"BW64"):
        sizes = _find_chunk(content, b"ds64", 12, 4, order)
        if sizes is None or content[place + 4 : place + 8] != b"\xff\xff\xff\xff":
            return _settled(content, place + 4, 4, order, place + 8)
        stated = int.from_bytes(content[sizes + 16 : sizes + 24], order)
        present = len(content) - place - 8
        if not means_unknown(stated, 8) and present < 0.99 * stated:
            raise _truncated(present, stated, "bytes of its samples")
        size = present if means_unknown(stated, 8) else min(stated, present)
        # What is read here fits into a plain wav, whose sizes have 32 bits.
        return (
            b"RIFF" + (len(content) - 8).to_bytes(4, order) + content[8:sizes] + b"JUNK"
            + content[sizes + 4 : place + 4] + size.to_bytes(4, order) + content[place + 8 :]
        )  # fmt: skip
    settled = _settled(content, place + 4, 4, order, place + 8)
    if settled is not content:
        settled = settled[:4] + (len(content) - 8).to_bytes(4, order) + settled[8:]
    return settled


def _find_chunk(
    content: bytes, name: bytes, place: int, width: int, order: Literal["little", "big"]
) -> int | None:
    """Where the chunk `name` begins, going from chunk to chunk from `place` on; None if there is none."""
    while place + 4 + width <= len(content):
        if content[place : place + 4] == name:
            return place
        size = int.from_bytes(content[place + 4 : place + 4 + width], order)
        place += 4 + width + size + (size % 2 if width == 4 else 0)
    return None


def _only_chunks(content: bytes, place: int, width: int, order: Literal["little", "big"]) -> bool:
    """Whether nothing or whole chunks with printable names lie between `place` and the end."""
    while place + 4 + width <= len(content) and re.match(rb"[ -~]{4}", content[place : place + 4]):
        size = int.from_bytes(content[place + 4 : place + 4 + width], order)
        place += 4 + width + size + size % 2
    return len(content) <= place


def _ogg(content: bytes) -> bytes:
    if ogg.is_cut(content):
        raise BadAudio("it is truncated: its last page is cut")
    if ogg.is_chained(content):
        raise BadAudio(
            "it holds several streams one after the other: make one of them with `ffmpeg -i NAME.ogg NAME.wav`"
        )
    inside = ogg.flac_inside(content)
    return ogg.mark_last_page(content) if inside is None else flac.state_length(inside)


def _mpeg(content: bytes, longest: float) -> Sized:
    stream = read_stream(content, longest)
    if stream is None:
        return Sized(content)
    # Some encoders count the frame that states the number.
    if stream.stated is not None and stream.present < 0.99 * stream.stated - 1:
        raise _truncated(stream.present, stream.stated, "frames that it states")
    return Sized(stream.content, stream.samples)
