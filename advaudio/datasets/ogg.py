"""The pages of an Ogg file: the last one whole and marked as the last (RFC 3533, section 6)."""

from __future__ import annotations

import re

from advaudio.datasets.checksums import OGG_PAGE, checksum

FIRST, LAST = 2, 4
MOST_BYTES = 27 + 255 + 255 * 255
FLAGS = 5
CHECKSUM = slice(22, 26)


def is_cut(content: bytes) -> bool:
    """Whether the file ends inside a page."""
    page = content[content.rfind(b"OggS") :]
    return len(page) < 27 or len(page) < _length(page)


def is_chained(content: bytes) -> bool:
    """Whether a stream begins after the sound of another; libsndfile reads the first only."""
    ended = False
    for match in re.finditer(rb"OggS\0([\0-\x07])", content):
        first = bool(match[1][0] & FIRST)
        if ended and first:
            return True
        ended = ended or not first
    return False


def mark_last_page(content: bytes) -> bytes:
    """Set the mark of the last page where it is missing: a recorder of a broadcast cannot know which it is."""
    start = content.rfind(b"OggS")
    if content[start + FLAGS] & LAST:
        return content
    page = bytearray(content[start : start + _length(content[start:])])
    page[FLAGS] |= LAST
    page[CHECKSUM] = bytes(4)
    page[CHECKSUM] = checksum(bytes(page), OGG_PAGE).to_bytes(4, "little")
    return content[:start] + bytes(page)


def flac_inside(content: bytes) -> bytes | None:
    """The plain FLAC file that an Ogg file carries, which libsndfile does not read in every case; None if another.

    Its first packet is 9 bytes and the start of a FLAC file; the others follow as they are (RFC 9639, section 10.1).
    """
    start = content[27 + content[26] :] if len(content) > 26 else b""
    if start[:5] != b"\x7fFLAC":
        return None
    parts = []
    place = 0
    while content[place : place + 4] == b"OggS":
        length = _length(content[place : place + MOST_BYTES])
        parts.append(content[place + 27 + content[place + 26] : place + length])
        place += length
    return b"".join(parts)[9:]


def _length(page: bytes) -> int:
    return 27 + page[26] + sum(page[27 : 27 + page[26]])
