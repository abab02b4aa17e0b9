#!/usr/bin/env python3
"""Refuse files over 500 kB, and text files with trailing blanks, conflict marks or a bad last line.

Without names on the command line, all files known to git are checked.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

LARGEST = 500_000
CONFLICT = re.compile(r"^(<{7}|>{7}|={7})( |$)", re.MULTILINE)


def problems(path: Path) -> list[str]:
    """Return what is wrong with a file, in words."""
    data = path.read_bytes()
    found = []
    if len(data) > LARGEST:
        found.append(f"has {len(data)} bytes, more than {LARGEST}: put data elsewhere")
    if b"\0" in data[:8192]:
        return found
    text = data.decode("utf-8", errors="replace")
    if text and (not text.endswith("\n") or text.endswith("\n\n")):
        found.append("must end with exactly one line break")
    for number, line in enumerate(text.splitlines(), start=1):
        if line != line.rstrip() and path.suffix != ".md":
            found.append(f"line {number} has trailing blanks")
    if CONFLICT.search(text):
        found.append("has conflict marks")
    return found


def main() -> None:
    """Check the files of the command line."""
    names = sys.argv[1:]
    if not names:
        listing = subprocess.run(
            ["git", "ls-files", "-z"], check=True, capture_output=True, text=True
        )
        names = [name for name in listing.stdout.split("\0") if name]
    messages = [
        f"{name}: {problem}"
        for name in names
        if Path(name).is_file()
        for problem in problems(Path(name))
    ]
    if messages:
        sys.exit("\n".join(messages))


if __name__ == "__main__":
    main()
