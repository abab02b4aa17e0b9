"""What the generators of pages in docs/ share; the standard library is enough."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]


def write_or_check(doc: str, target: Path, render: Callable[[], str]) -> None:
    """Read the command line of a generator; write the page, or compare it with what is committed.

    Args:
        doc: of the generator.
        target: the page's file.
        render: returns the page.
    """
    parser = argparse.ArgumentParser(description=doc.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="fail if the page is not up to date")
    args = parser.parse_args()
    page, name = render(), target.relative_to(ROOT)
    if args.check:
        if not target.exists() or target.read_text(encoding="utf-8") != page:
            sys.exit(f"{name} is not up to date: run `make docs` and commit it")
        return
    target.parent.mkdir(exist_ok=True)
    target.write_text(page, encoding="utf-8")
    print(f"wrote {name}")
