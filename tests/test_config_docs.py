"""docs/configs.md is generated from the statements of the keys, is current, and lacks no key."""

from __future__ import annotations

import math
import re

import pytest
from detectron2.config import CfgNode

from drfpn_da.config import get_defaults
from drfpn_da.config.rules import Count, Flag, Items
from tests.scripts import load_tool


@pytest.fixture(scope="module")
def generator():
    return load_tool("generate_config_docs")


def leaves(node, prefix=""):
    for name, value in node.items():
        if isinstance(value, CfgNode):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def test_committed_page_is_current(generator):
    page = generator.render(generator.all_sections())
    assert generator.TARGET.read_text(encoding="utf-8") == page, "run `make docs` and commit"


def test_page_has_exactly_the_keys_of_the_defaults(generator):
    listed = re.findall(r"^\| `([\w.]+)` \|", generator.TARGET.read_text(encoding="utf-8"), re.M)
    assert sorted(listed) == sorted(leaves(get_defaults()))


def test_key_without_comment_is_refused(generator):
    source = "# Rate.\n_C.SOLVER.RATE = 1\n_C.SOLVER.OTHER = 2\n"
    with pytest.raises(ValueError, match=r"line 3: SOLVER\.OTHER has no comment"):
        generator.parse(source)


def test_comments_sections_and_pipes(generator):
    source = (
        "# ------ #\n# Title\n# ------ #\n"
        "# A part.\n_C.PART = Node()\n_C.PART.ENABLED = False\n"
        "# unrelated\n\n# First line,\n# second | line.\n_C.PART.SIZES = Items([1, 2], Count())\n"
    )
    (section,) = generator.parse(source)
    assert section.title == "Title"
    assert [(key.name, key.comment) for key in section.keys] == [
        ("PART.ENABLED", "A part."),
        ("PART.SIZES", "First line, second | line."),
    ]
    rules = {"PART.ENABLED": Flag(), "PART.SIZES": Items([1, math.inf], Count())}
    *_, enabled, sizes = generator.render([section], rules).strip().splitlines()
    assert enabled == "| `PART.ENABLED` | `False` | A part. | True or False |"
    assert sizes.startswith(
        "| `PART.SIZES` | `[1, .inf]` | First line, second \\| line. | a list of"
    )
