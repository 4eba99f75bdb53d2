"""Files whose length is unknown are read to the end; files that say how long they are and are shorter are bad.

The sample counts are those that FFmpeg 5.1 gives for such files.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import soundfile

from advaudio.clips.clip_store import decode
from advaudio.datasets.audio import decode_audio
from advaudio.datasets.audio_length import means_unknown
from advaudio.datasets.bad_audio import BadAudio
from advaudio.datasets.checksums import FLAC_FRAME, FLAC_HEADER, OGG_PAGE, checksum
from advaudio.datasets.mp3 import read_stream

RATE = 44_100
SAMPLES = 30_011
MP3_FRAME = 1152
UNKNOWN_32 = (0x7FFFF000, 0x7FFFFFDB, 0x7FFFFFFF, 0x80000000, 0x80000024, 0xFFFFFFDB, 0xFFFFFFFF)


def sound() -> np.ndarray[Any, Any]:
    random = np.random.default_rng(0)
    return 0.3 * np.sin(np.arange(SAMPLES) * 0.06) + 0.01 * random.standard_normal(SAMPLES)


def written(kind: str, subtype: str | None = None, rate: int = RATE, **options: Any) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, sound(), rate, format=kind, subtype=subtype, **options)
    return buffer.getvalue()


def samples(content: bytes) -> int:
    """Number of samples that come out of a file."""
    clip = decode_audio(content, RATE)
    return round(clip.duration * clip.original_sample_rate)


def replaced(content: bytes, place: int, new: bytes) -> bytes:
    return content[:place] + new + content[place + len(new) :]


def resized(content: bytes, chunk: bytes, size: int, order: Any, width: int = 4) -> bytes:
    return replaced(content, content.index(chunk) + 4, size.to_bytes(width, order))


def wav(size: int, whole: int | None = None) -> bytes:
    content = resized(written("WAV"), b"data", size, "little")
    return content if whole is None else resized(content, b"RIFF", whole, "little")


@pytest.mark.parametrize("size", [0, *UNKNOWN_32])
@pytest.mark.parametrize("whole", [None, 0, 0x7FFFF024, 0xFFFFFFFF])
def test_wav_from_a_pipe(size: int, whole: int | None) -> None:
    assert samples(wav(size, whole)) == SAMPLES


@pytest.mark.parametrize("kind", ["RIFX", "AIFF", "AU"])
@pytest.mark.parametrize("size", [0, *UNKNOWN_32])
def test_other_formats_from_a_pipe(kind: str, size: int) -> None:
    if kind == "RIFX":
        content = resized(written("WAV", endian="BIG"), b"data", size, "big")
        assert content[:4] == b"RIFX"
    elif kind == "AIFF":
        # The number of samples stands in the first chunk, too.
        frames = written("AIFF")
        content = resized(replaced(frames, frames.index(b"COMM") + 10, bytes(4)), b"SSND", size, "big")
    else:
        content = replaced(written("AU"), 8, size.to_bytes(4, "big"))
    assert samples(content) == SAMPLES


@pytest.mark.parametrize("size", [0, 2**63 - 1, 2**64 - 1])
def test_caf_from_a_pipe(size: int) -> None:
    assert samples(resized(written("CAF"), b"data", size, "big", 8)) == SAMPLES


def test_a_wav_of_chunks_without_samples_has_none() -> None:
    empty = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 54, b"WAVE", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16, b"data", 0
    )
    with pytest.raises(BadAudio, match="it has no samples"):
        decode_audio(empty + b"LIST\x0a\0\0\0INFO" + bytes(6), RATE)
    with pytest.raises(BadAudio, match="it has no samples"):
        decode_audio(empty, RATE)


@pytest.mark.parametrize("kind", [b"RF64", b"BW64"])
@pytest.mark.parametrize("size", [None, 0, 2**63, 2**64 - 1])
def test_rf64(kind: bytes, size: int | None) -> None:
    content = replaced(written("RF64"), 0, kind)
    content = resized(content, b"data", 0xFFFFFFFF, "little")
    if size is not None:
        content = replaced(content, content.index(b"ds64") + 16, size.to_bytes(8, "little"))
    assert samples(content) == SAMPLES


@pytest.mark.parametrize("kind", ["WAV", "RF64", "RIFX", "AIFF", "AU", "CAF", "FLAC", "OGG", "OPUS", "MP3"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_file_that_says_how_long_it_is_and_is_shorter_is_bad(kind: str, share: float) -> None:
    if kind == "RIFX":
        content = written("WAV", endian="BIG")
    elif kind == "OPUS":
        content = written("OGG", "OPUS", 48_000)
    else:
        content = written(kind)
    with pytest.raises(BadAudio, match=r"truncated|cannot be decoded"):
        decode_audio(content[: int(share * len(content))], RATE)


@pytest.mark.parametrize("size", [0x10000000, 0x70000000, 0x90000000, 0xF0000000])
def test_a_size_that_is_merely_large_is_a_statement(size: int) -> None:
    with pytest.raises(BadAudio, match="it is truncated: 60022 of the"):
        decode_audio(wav(size), RATE)


@pytest.mark.parametrize(
    ("size", "width", "unknown"),
    [(0, 4, True), (1, 4, False), (2**31 - 2**16, 4, True), (2**31 - 2**17, 4, False), (2**32 - 1, 8, False)],
)
def test_sizes_that_mean_unknown(size: int, width: int, unknown: bool) -> None:
    assert means_unknown(size, width) == unknown


def without_total(content: bytes) -> bytes:
    """A FLAC file as encoders write it to a pipe: number of samples and checksum of the sound are 0."""
    return replaced(replaced(content, 21, bytes([content[21] & 0xF0]) + bytes(4)), 26, bytes(16))


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
def test_flac_from_a_pipe(subtype: str) -> None:
    content = without_total(written("FLAC", subtype))
    with soundfile.SoundFile(io.BytesIO(content)) as file:
        assert file.frames > 2**60
    clip = decode_audio(content, RATE)
    assert len(clip.samples) == SAMPLES
    assert np.abs(decode(clip.samples, clip.gain) - sound()).max() < (0.01 if subtype == "PCM_S8" else 1e-4)


@pytest.mark.parametrize("tail", [b"TAG" + bytes(125), b""])
def test_flac_from_a_pipe_with_tags(tail: bytes) -> None:
    assert samples(id3(2**20) + without_total(written("FLAC")) + tail) == SAMPLES


def test_flac_from_a_pipe_that_was_closed_early_gives_its_whole_frames() -> None:
    content = without_total(written("FLAC"))
    assert samples(content[: int(0.6 * len(content))]) == 4 * 4096
    with pytest.raises(BadAudio, match="not one whole frame"):
        decode_audio(content[:1_000], RATE)


@pytest.mark.parametrize(
    ("kind", "content", "remainder"),
    # The check values of the catalogue of parametrised CRC algorithms: CRC-8/SMBUS, CRC-16/UMTS; Ogg's own.
    [
        (FLAC_HEADER, b"123456789", 0xF4),
        (FLAC_FRAME, b"123456789", 0xFEE8),
        (OGG_PAGE, b"123456789", 0x89A1897F),
    ],
)
def test_checksums(kind: tuple[int, int], content: bytes, remainder: int) -> None:
    assert checksum(content, kind) == remainder


def pages(content: bytes) -> list[bytes]:
    places = [place for place in range(len(content)) if content.startswith(b"OggS\0", place)]
    return [content[start:end] for start, end in zip(places, [*places[1:], len(content)], strict=True)]


def without_end(content: bytes) -> bytes:
    *others, last = pages(content)
    assert last[5] & 4
    page = replaced(replaced(last, 5, bytes([last[5] & ~4])), 22, bytes(4))
    return b"".join([*others, replaced(page, 22, checksum(page, OGG_PAGE).to_bytes(4, "little"))])


@pytest.mark.parametrize(("subtype", "rate"), [("VORBIS", 44_100), ("OPUS", 48_000)])
def test_ogg_whose_last_page_lacks_the_mark(subtype: str, rate: int) -> None:
    content = written("OGG", subtype, rate)
    assert samples(without_end(content)) == samples(content) == SAMPLES
    # A recorder that was stopped between two pages.
    shorter = samples(b"".join(pages(content)[:-1]))
    assert 0.2 * SAMPLES < shorter < SAMPLES


def test_ogg_cut_inside_its_last_page_is_bad() -> None:
    with pytest.raises(BadAudio, match="its last page is cut"):
        decode_audio(without_end(written("OGG"))[:-100], RATE)


@pytest.mark.parametrize("stated", [True, False])
def test_flac_in_ogg(stated: bool) -> None:
    """As FFmpeg writes it: one packet of metadata, then one or more frames of FLAC a page."""
    plain = written("FLAC") if stated else without_total(written("FLAC"))
    header = b"\x7fFLAC\x01\0\0\x01" + plain[:42]
    rest = plain[42:]
    made = ogg_page(header, 0, 2) + b"".join(
        ogg_page(rest[start : start + 60_000], 1 + number, 4 if start + 60_000 >= len(rest) else 0)
        for number, start in enumerate(range(0, len(rest), 60_000))
    )
    assert samples(made) == SAMPLES


def ogg_page(content: bytes, number: int, flags: int) -> bytes:
    lacing = bytes([255] * (len(content) // 255) + [len(content) % 255])
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, 0, 7, number, 0, len(lacing)) + lacing
    page = head + content
    return replaced(page, 22, checksum(page, OGG_PAGE).to_bytes(4, "little"))


def test_ogg_of_two_streams_is_not_cut_silently() -> None:
    with pytest.raises(BadAudio, match=r"several streams one after the other.*ffmpeg -i"):
        decode_audio(written("OGG") * 2, RATE)


def id3(size: int) -> bytes:
    lengths = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x04\0\0" + lengths + bytes(size)


def mp3(rate: int = RATE, xing: bool = True, mode: str = "VARIABLE") -> bytes:
    content = written("MP3", None, rate, bitrate_mode=mode, compression_level=0.5)
    stream = read_stream(content, 300.0)
    assert stream is not None
    assert stream.stated == stream.present
    start = content.index(b"\xff", 0)
    if xing:
        return content[start:]
    first = content.index(b"\xff" + content[start + 1 : start + 2], start + 4)
    return content[first:]


def frames(rate: int = RATE) -> int:
    return len_of(mp3(rate, xing=False), rate)


def len_of(content: bytes, rate: int) -> int:
    stream = read_stream(content, 300.0)
    assert stream is not None
    return stream.present * (MP3_FRAME if rate >= 32_000 else MP3_FRAME // 2)


@pytest.mark.parametrize("rate", [44_100, 22_050, 11_025])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_mp3_without_a_statement_is_read_to_the_end(rate: int, mode: str) -> None:
    content = mp3(rate, False, mode)
    step = MP3_FRAME if rate >= 32_000 else MP3_FRAME // 2
    # The encoder adds at least its delay, and fills the last frame up.
    found = samples(content)
    assert found % step == 0
    assert SAMPLES + 1105 <= found < SAMPLES + 1105 + 3 * step
    assert samples(mp3(rate, True, mode)) == SAMPLES


@pytest.mark.parametrize(
    "junk",
    [
        pytest.param(bytes(2_000), id="zeros"),
        pytest.param(np.random.default_rng(1).bytes(5_000), id="noise"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\n\r\n", id="an answer's head"),
        pytest.param(b"\xff\xfb\x90\x64" * 20, id="headers without frames"),
        pytest.param(id3(2**20), id="a tag of 1 MiB"),
        pytest.param(id3(300) + id3(2**17) + b"\0" * 77, id="two tags and filling"),
    ],
)
def test_mp3_with_bytes_before_the_first_frame(junk: bytes) -> None:
    assert samples(junk + mp3()) == SAMPLES
    assert samples(junk + mp3(xing=False)) == frames()
    assert samples(junk + mp3(xing=False) + b"TAG" + bytes(125)) == frames()


def test_mp3_cut_inside_its_first_and_last_frame() -> None:
    content = mp3(xing=False)
    first = content.index(content[:2], 4)
    assert samples(content[100:]) == frames() - MP3_FRAME
    # As FFmpeg does, the last frame is taken for as much as there is of it.
    assert samples(content[: len(content) - 50]) == frames()
    assert samples(content[first - 40 : len(content) - 3]) == frames() - MP3_FRAME


def test_mp3_with_a_tag_in_the_middle() -> None:
    content = mp3(xing=False)
    assert samples(content + id3(999) + content) == 2 * frames()


def test_mp3_that_states_more_frames_than_it_has_is_bad() -> None:
    content = mp3()
    place = content.index(b"Xing") + 8
    stated = int.from_bytes(content[place : place + 4], "big")
    with pytest.raises(
        BadAudio, match=f"it is truncated: {stated} of the {2 * stated} frames that it states"
    ):
        decode_audio(replaced(content, place, (2 * stated).to_bytes(4, "big")), RATE)


def test_mp3_that_states_fewer_frames_than_it_has_is_read_to_the_end() -> None:
    content = mp3()
    place = content.index(b"Xing") + 8
    stated = int.from_bytes(content[place : place + 4], "big")
    assert samples(replaced(content, place, (stated // 2).to_bytes(4, "big"))) == SAMPLES


@pytest.mark.parametrize(("share", "whole"), [(1, True), (2, False)])
def test_mp3_with_fraunhofers_statement(share: int, whole: bool) -> None:
    sounding = mp3(xing=False)
    stated = share * frames() // MP3_FRAME
    made = (
        bytes([0xFF, 0xFB, 0x90, sounding[3]]) + bytes(32) + b"VBRI" + bytes(10) + stated.to_bytes(4, "big")
    )
    content = made.ljust(417, b"\0") + sounding
    if whole:
        assert samples(content) == frames()
    else:
        with pytest.raises(BadAudio, match=f"of the {stated} frames that it states"):
            decode_audio(content, RATE)


def test_mp3_of_hours_is_refused_early() -> None:
    content = mp3(xing=False)
    with pytest.raises(BadAudio, match="it lasts 300 s, more than 300 s"):
        decode_audio(content * 500, RATE)


@pytest.mark.parametrize(
    ("start", "says"),
    [
        (b"\0\0\0\x1cftypM4A \0\0\0\0", r"MPEG-4 .*ffmpeg -i NAME\.m4a NAME\.wav"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", r"MPEG-4 .*ffmpeg -i"),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81\x01", r"Matroska .*ffmpeg -i NAME\.webm NAME\.wav"),
        (b"0&\xb2u\x8ef\xcf\x11\xa6\xd9", r"Windows Media .*ffmpeg -i NAME\.wma"),
        (b"\xff\xf1\x50\x80\x0e\x7f\xfc", r"AAC .*ffmpeg -i NAME\.aac"),
        (b"#!AMR\n<", r"AMR .*ffmpeg"),
        (b"not audio at all", r"cannot be decoded .*ffmpeg"),
    ],
)
def test_formats_that_are_not_read_say_how_to_convert(start: bytes, says: str) -> None:
    make: Callable[[int], bytes] = np.random.default_rng(2).bytes
    with pytest.raises(BadAudio, match=says):
        decode_audio(start + make(5_000), RATE)
