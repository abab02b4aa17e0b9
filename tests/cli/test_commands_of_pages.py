"""Every ``drfpn-da`` command that a page shows is one that the program takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from drfpn_da.cli.main import build_parser

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# What a page leaves to its reader -> what stands there.
CONFIG = "drfpn/bccd/faster_rcnn_mobilenetv2_drfpn.yaml"
STANDS_FOR = {**dict.fromkeys(("CONFIG", "C", "TEACHER.yaml"), CONFIG)}
FILES = ("labels.json", "audit/review.csv", "pictures/a.png")


def commands(path):
    """Return the words of each command in the blocks of a page, comments left out."""
    found = []
    for block in re.findall(r"^```\w*\n(.*?)^```$", path.read_text(encoding="utf-8"), re.M | re.S):
        for line in block.replace("\\\n", " ").splitlines():
            start = re.search(r"drfpn-da |-m drfpn_da ", line)
            if start:
                found.append(shlex.split(line[start.end() :], comments=True))
    return found


@pytest.mark.parametrize("path", [p for p in PAGES if commands(p)], ids=lambda p: p.name)
def test_commands_are_understood(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for words in commands(path):
        # "..." after --config-file is any config, elsewhere what the page has said before.
        words = [CONFIG if (a, b) == ("--config-file", "...") else STANDS_FOR.get(b, b)
                 for a, b in zip(["", *words], words)]  # fmt: skip
        if "..." in words:
            continue
        try:
            args = build_parser().parse_args(words)
        except SystemExit as error:
            pytest.fail(f"{path.name}: drfpn-da {' '.join(words)}: exit {error.code}")
        if args.verify is not None:
            args.verify(args)


def test_commands_are_found():
    assert sum(len(commands(path)) for path in PAGES) > 40
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r"`drfpn-da ([a-z]+)", text):
            assert name in dict.fromkeys(build_parser()._subparsers._group_actions[0].choices), name


def test_the_readme_lists_every_command():
    table = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in build_parser()._subparsers._group_actions[0].choices:
        assert f"`drfpn-da {name}`" in table, name
