"""The length of a FLAC file that was written to a pipe: its header says 0, its last frame says where it is.

RFC 9639, sections 8.2 (STREAMINFO) and 9.1 (frame header).
"""

from __future__ import annotations

import re

from advaudio.datasets.bad_audio import BadAudio
from advaudio.datasets.checksums import FLAC_FRAME, FLAC_HEADER, checksum

# Block sizes by the four bits in a frame's header; 6 and 7 are written at its end.
BLOCK_SIZES = {
    1: 192,
    **{code: 144 << code for code in range(2, 6)},
    **{code: 1 << code for code in range(8, 16)},
}
SYNC = re.compile(rb"\xff[\xf8\xf9][\x10-\xff][\x00-\xaf]", re.DOTALL)
STREAMINFO = 8
# The last frame is looked for in so many bytes at the end, and at so many places: enough for any encoder.
SEARCHED = 2**23
MOST_TRIES = 500
# Sound may look like the beginning of a frame, which then seems to end there.
MOST_ENDS = 4
TOTAL = STREAMINFO + 13


def state_length(content: bytes) -> bytes:
    """Give a FLAC file whose header states its length: the same one if it does already.

    A last frame that is cut is not counted.

    Raises
    ------
    BadAudio
        If no whole frame is there.
    """
    if len(content) < STREAMINFO + 34 or content[4] & 0x7F:
        return content
    if content[TOTAL] & 0x0F or content[TOTAL + 1 : TOTAL + 5] != bytes(4):
        return content
    total = _count(content)
    if not 0 < total < 1 << 36:
        raise BadAudio("it is truncated: not one whole frame is there")
    high = bytes([content[TOTAL] | total >> 32])
    return content[:TOTAL] + high + (total & 0xFFFFFFFF).to_bytes(4, "big") + content[TOTAL + 5 :]


def _count(content: bytes) -> int:
    """Samples a channel up to the end of the last whole frame; 0 if there is none."""
    block = int.from_bytes(content[STREAMINFO : STREAMINFO + 2], "big")
    ends = [len(content)]
    if content[-128:-125] == b"TAG":
        ends.insert(0, len(content) - 128)
    matches = list(SYNC.finditer(content, max(0, len(content) - SEARCHED)))
    for match in matches[:-MOST_TRIES:-1]:
        frame = _frame(content[match.start() : match.start() + 16], block)
        if frame is None:
            continue
        if _is_whole(content, match.start(), ends):
            return frame
        ends = [match.start(), *ends][:MOST_ENDS]
    return 0


def _is_whole(content: bytes, start: int, ends: list[int]) -> bool:
    """Whether a frame goes from `start` to one of `ends`, by its checksum."""
    remainder = 0
    for end in ends:
        remainder = checksum(content[start:end], FLAC_FRAME, remainder)
        if remainder == 0:
            return True
        start = end
    return False


def _frame(header: bytes, block: int) -> int | None:
    """Samples up to the end of the frame that begins with `header`; None if it is no frame's beginning."""
    place = 4
    # The number is written like a letter in UTF-8: as many leading ones as bytes, or none for one byte.
    ones = 8 - (header[place] ^ 0xFF).bit_length() if len(header) > place else 1
    if ones == 1 or ones > 7:
        return None
    end = place + max(ones, 1)
    number = header[place] & (0x7F >> ones)
    for byte in header[place + 1 : end]:
        number = number << 6 | byte & 0x3F
    place = end
    code = header[2] >> 4
    extra = {6: 1, 7: 2}.get(code, 0)
    size = BLOCK_SIZES.get(code) or int.from_bytes(header[place : place + extra], "big") + 1
    place += extra + {12: 1, 13: 2, 14: 2}.get(header[2] & 0x0F, 0)
    if place >= len(header) or checksum(header[: place + 1], FLAC_HEADER):
        return None
    # One bit says whether frames or samples are counted.
    return number + size if header[1] & 1 else number * block + size
