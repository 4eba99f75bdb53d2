"""Find the frames of an MPEG audio stream (mp3), so that the decoder reads all of them.

An mp3 has no header: it is a row of frames, each with its own. Players put tags before and behind them, recorders
start and stop in the middle of one, and a first frame without sound ("Xing", "Info", "VBRI") may say how many
follow. Without it, decoders guess the length from the size of the file, and libsndfile reads no further.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# Kilobits a second by the four bits in a header (ISO/IEC 11172-3, 2.4.2.3; ISO/IEC 13818-3 for half rates).
LAYER_3 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
LAYER_2 = (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)
HALF_RATE = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
RATES = (44_100, 48_000, 32_000)
# A header of layer II or III whose version, bit rate and sample rate exist.
HEADER = re.compile(rb"\xff[\xe2-\xe5\xf2-\xf5\xfa-\xfd][\x10-\xef][\x00-\xff]", re.DOTALL)
# So many headers in a row, each where the one before it says, are no chance.
CHAIN = 3
MOST_TRIES = 100_000
VBRI_PLACE = 36


@dataclass(frozen=True)
class Frame:
    """One frame: where it is and what its header says.

    Attributes
    ----------
    start, size
        Bytes.
    kind
        What all frames of a stream share: version, layer and sample rate.
    samples, rate
        Samples a channel, Hz.
    """

    start: int
    size: int
    kind: tuple[int, int, int]
    samples: int
    rate: int

    @property
    def end(self) -> int:
        """First byte after it."""
        return self.start + self.size


@dataclass(frozen=True)
class Stream:
    """The frames of a file back to back.

    Attributes
    ----------
    content
        What to decode, so that libsndfile reads all of it.
    stated, present
        Number of frames by the file's own statement (None if it makes none), and of those that are there.
    samples
        Number of samples a channel that must come out; None if only the decoder knows what the encoder added.
    """

    content: bytes
    stated: int | None
    present: int
    samples: int | None


def read_stream(content: bytes, longest: float) -> Stream | None:
    """Collect the frames of an mp3.

    Parameters
    ----------
    content
        A file, whatever lies before, between and after its frames. A last frame that is cut is filled up with
        zeros, as FFmpeg does.
    longest
        Seconds after which no further frame is looked for.

    Returns
    -------
    Stream or None
        None if there are no frames of layer II or III.
    """
    frames = list(_frames(content, longest))
    if not frames:
        return None
    first, rest = frames[0], frames[1:]
    vbri = content[first.start + VBRI_PLACE : first.start + VBRI_PLACE + 18]
    place = _statement(content, first)
    if place is not None and content[first.start + place + 7] & 1:
        return _stated(content, first, rest, place)
    silent = place is not None or vbri[:4] == b"VBRI"
    sounding = rest if silent else frames
    return Stream(
        _joined(content, sounding) + _filler(sounding),
        int.from_bytes(vbri[14:18], "big") if vbri[:4] == b"VBRI" else None,
        len(sounding),
        len(sounding) * first.samples,
    )


def _stated(content: bytes, first: Frame, rest: list[Frame], place: int) -> Stream:
    """The frames after one whose statement stays, with the numbers that are there.

    It may also say what the encoder added before and after the sound.
    """
    statement = bytearray(content[first.start : first.end])
    stated = int.from_bytes(statement[place + 8 : place + 12], "big")
    sound = _joined(content, rest)
    statement[place + 8 : place + 12] = len(rest).to_bytes(4, "big")
    if statement[place + 7] & 2:
        statement[place + 12 : place + 16] = (len(statement) + len(sound)).to_bytes(4, "big")
    return Stream(bytes(statement) + sound, stated, len(rest), None)


def _joined(content: bytes, frames: list[Frame]) -> bytes:
    return b"".join(content[frame.start : frame.end].ljust(frame.size, b"\0") for frame in frames)


def _filler(frames: list[Frame]) -> bytes:
    """A tag so large that the length that the decoder guesses from the size of the file is never too small."""
    size = len(frames) * max((frame.size for frame in frames), default=0)
    return b"ID3\4\0\0" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + bytes(size)


def _frames(content: bytes, longest: float) -> Iterator[Frame]:
    place = skip_tags(content)
    kind = None
    length = 0.0
    tries = 0
    while length <= longest:
        frame = _frame(content, place)
        if (
            frame is None
            or (kind is not None and frame.kind != kind)
            or (kind is None and not _chain(content, frame))
        ):
            found, tries = _search(content, skip_tags(content, place), kind, tries)
            if found is None:
                return
            frame = found
        kind = frame.kind
        length += frame.samples / frame.rate
        yield frame
        place = frame.end


def _search(
    content: bytes, place: int, kind: tuple[int, int, int] | None, tries: int
) -> tuple[Frame | None, int]:
    """The next frame that others follow, and how many places were tried so far."""
    for match in HEADER.finditer(content, place):
        tries += 1
        if tries > MOST_TRIES:
            break
        frame = _frame(content, match.start())
        if frame is not None and kind in (None, frame.kind) and _chain(content, frame):
            return frame, tries
    return None, tries


def _chain(content: bytes, frame: Frame) -> bool:
    """Whether frames of the same kind follow, or the file ends exactly behind this one or the next."""
    for _ in range(CHAIN - 1):
        if frame.end == len(content) or content.startswith(b"TAG", frame.end):
            return True
        following = _frame(content, frame.end)
        if following is None or following.kind != frame.kind:
            return False
        frame = following
    return True


def _frame(content: bytes, start: int) -> Frame | None:
    """The frame at `start`, if its header makes sense."""
    header = content[start : start + 4]
    if not HEADER.fullmatch(header):
        return None
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    rate_number = header[2] >> 2 & 3
    if rate_number == 3:
        return None
    whole_rate = version == 3
    # Version 3 is MPEG-1, 2 is MPEG-2 (half its rates), 0 is MPEG-2.5 (a quarter).
    rate = RATES[rate_number] // {3: 1, 2: 2, 0: 4}[version]
    rates = HALF_RATE if not whole_rate else LAYER_3 if layer == 3 else LAYER_2
    samples = 576 if layer == 3 and not whole_rate else 1152
    size = samples // 8 * rates[(header[2] >> 4) - 1] * 1000 // rate + (header[2] >> 1 & 1)
    return Frame(start, size, (version, layer, rate_number), samples, rate)


def _side_information(version: int, header: bytes) -> int:
    """Bytes between the header of a frame of layer III and its data."""
    mono = header[3] >> 6 == 3
    return (17 if mono else 32) if version == 3 else (9 if mono else 17)


def _statement(content: bytes, frame: Frame) -> int | None:
    """Where in its first frame a stream says how many follow."""
    header = content[frame.start : frame.start + 4]
    for checksum in (0, 2):
        place = 4 + checksum + _side_information(frame.kind[0], header)
        if place + 12 <= frame.size and content.startswith((b"Xing", b"Info"), frame.start + place):
            return place
    return None


def skip_tags(content: bytes, place: int = 0) -> int:
    """First byte after the ID3v2 tags that lie at `place` (ID3v2.4, section 3.1)."""
    while content[place : place + 3] == b"ID3" and len(content) >= place + 10:
        size = 0
        for byte in content[place + 6 : place + 10]:
            size = size << 7 | byte & 0x7F
        footer = 10 if content[place + 5] & 0x10 else 0
        place += 10 + size + footer
    return place
