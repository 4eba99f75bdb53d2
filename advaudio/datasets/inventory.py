"""Names and sizes of the files of an archive, checked before anything of them is read."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

from advaudio.core.errors import AdvaudioError

MEBIBYTE = 2**20
LARGEST_FILE = 1024 * MEBIBYTE
LARGEST_RATIO = 200
LARGEST_OVERHEAD = 64 * MEBIBYTE
MOST_FILES = 1_000_000


def plain_name(name: str) -> str:
    """A name with forward slashes, which Windows writes the other way, and composed letters (Unicode's NFC)."""
    return unicodedata.normalize("NFC", name.replace("\\", "/"))


def refusal(path: Path, name: str, reason: str) -> AdvaudioError:
    """The error for an entry that no archive of a data set needs."""
    return AdvaudioError(
        f"The archive {path} is refused: its entry {name!r} {reason}. No honest data set needs that; "
        "get the archive from its publisher."
    )


class Inventory:
    """Checks the entries of one archive, one after the other, before anything of them is read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: set[str] = set()
        self.total = 0
        self.allowed = LARGEST_RATIO * path.stat().st_size + LARGEST_OVERHEAD

    def check_name(self, name: str) -> str:
        """Give the name as `plain_name` spells it; refuse one that could point outside a folder."""
        while name.startswith("./"):
            name = name[2:]
        parts = re.split(r"[/\\]", name)
        if name[:1] in ("/", "\\") or re.match(r"[A-Za-z]:", name):
            raise refusal(self.path, name, "has an absolute name")
        if ".." in parts:
            raise refusal(self.path, name, "has `..` in its name")
        if not name or any(ord(letter) < 32 or 0xD800 <= ord(letter) < 0xE000 for letter in name):
            raise refusal(self.path, name, "has an empty or unprintable name")
        return plain_name(name)

    def add(self, name: str, size: int) -> str:
        """Count one regular file; give its name."""
        name = self.check_name(name)
        if name in self.names:
            raise refusal(self.path, name, "occurs twice")
        self.names.add(name)
        if size > LARGEST_FILE:
            raise refusal(self.path, name, f"unpacks to {size / 1e9:.1f} GB, more than 1 GiB")
        self.total += size
        if self.total > self.allowed or len(self.names) > MOST_FILES:
            raise refusal(
                self.path,
                name,
                f"takes the unpacked size to {self.total / 1e9:.1f} GB in {len(self.names)} files, "
                f"more than {LARGEST_RATIO} times the archive",
            )
        return name
