"""Cyclic redundancy checks as FLAC and Ogg use them: highest bit first, starting from zero."""

from functools import lru_cache

FLAC_HEADER = (8, 0x07)
FLAC_FRAME = (16, 0x8005)
OGG_PAGE = (32, 0x04C11DB7)


def checksum(content: bytes, kind: tuple[int, int], remainder: int = 0) -> int:
    """Remainder of `content` for (width in bits, polynomial); 0 if the content ends with its own checksum.

    `remainder` is that of what lies before.
    """
    width, _ = kind
    table = _table(kind)
    mask = (1 << width) - 1
    for byte in content:
        remainder = (remainder << 8 & mask) ^ table[remainder >> (width - 8) ^ byte]
    return remainder


@lru_cache
def _table(kind: tuple[int, int]) -> tuple[int, ...]:
    width, polynomial = kind
    highest = 1 << (width - 1)
    table = []
    for byte in range(256):
        remainder = byte << (width - 8)
        for _ in range(8):
            remainder = (remainder << 1) ^ (polynomial if remainder & highest else 0)
        table.append(remainder & ((1 << width) - 1))
    return tuple(table)
