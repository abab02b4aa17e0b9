"""docs/configs.md is generated from the comments of the defaults, is current, and lacks no key."""

from __future__ import annotations

import re

import pytest
from detectron2.config import CfgNode

from drfpn_da.config import get_defaults
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
        "# A part.\n_C.PART = CN()\n_C.PART.ENABLED = False\n"
        "# unrelated\n\n# First line,\n# second | line.\n_C.PART.SIZES = [1, 2]\n"
    )
    (section,) = generator.parse(source)
    assert section.title == "Title"
    assert [(key.name, key.default, key.comment) for key in section.keys] == [
        ("PART.ENABLED", "False", "A part."),
        ("PART.SIZES", "[1, 2]", "First line, second | line."),
    ]
    assert "second \\| line" in generator.render([section])
