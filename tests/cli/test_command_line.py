"""The command ``drfpn-da``: help, errors, and what it imports."""

from __future__ import annotations

import argparse
import json
import os
import re
import runpy
import subprocess
import sys

import pytest

from drfpn_da.checkpoint.safe import CheckpointError
from drfpn_da.cli import main as front
from drfpn_da.cli.arguments import audit, data
from drfpn_da.data.datasets.benchmarks import BENCHMARKS
from drfpn_da.data.synthetic import DOMAINS, SIZES, SPLITS
from drfpn_da.labels import RelabelStore
from drfpn_da.labels.audit import AuditThresholds
from drfpn_da.labels.identity import DatasetIdentity, file_sha256
from drfpn_da.labels.journal import Entry


def leaves(parser, words=()):
    """Yield (words, parser) of every command."""
    inner = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not inner:
        yield words, parser
    for action in inner:
        for name, child in action.choices.items():
            yield from leaves(child, (*words, name))


COMMANDS = dict(leaves(front.build_parser()))


def start(repository, *words, modules=False):
    """Run the program as the console script does; return what it did.

    With ``modules`` it ends by printing which of the heavy packages it has imported.
    """
    code = "import sys, drfpn_da_cli as c; sys.argv = ['drfpn-da', *sys.argv[1:]]; "
    code += "rc = c.main(); "
    if modules:
        code += "print([n for n in ('torch', 'detectron2') if n in sys.modules]); "
    command = [sys.executable, "-c", f"{code}sys.exit(rc)", *map(str, words)]
    env = {**os.environ, "PYTHONPATH": str(repository), "COLUMNS": "100"}
    return subprocess.run(command, capture_output=True, text=True, env=env)


def test_module_shows_all_commands(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["drfpn_da", "--help"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("drfpn_da", run_name="__main__")
    printed = capsys.readouterr().out
    assert end.value.code == 0
    assert all(re.search(rf"\n    {name}\s", printed) for name, *_ in COMMANDS)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_comes_before_any_import(repository, words):
    code = (
        "import sys, drfpn_da_cli as c; sys.argv = ['drfpn-da', *sys.argv[1:]]\n"
        "try: c.main()\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert not {'torch', 'numpy', 'detectron2'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words, "--help"],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(repository)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"usage: drfpn-da {' '.join(words)}" in done.stdout


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_option_has_help_and_shows_its_default(words):
    parser = COMMANDS[words]
    text = " ".join(parser.format_help().split())
    for action in parser._actions:
        assert action.help, f"{words}: {action.dest}"
        if isinstance(action.default, (int, float)) and action.default and action.type:
            shown = f"(default: {action.default})" in text or "(default: " in action.help
            assert shown, f"{words}: {action.dest}"
    # Examples as they are written in the docstring.
    assert not parser.description or parser.description.strip() in parser.format_help()


def test_choices_are_those_of_the_parts():
    assert data.SIZES == tuple(SIZES) and data.NAMES == tuple(BENCHMARKS)
    assert (data.DOMAINS, data.SPLITS) == (DOMAINS, SPLITS)
    assert {k: v for k, (v, _) in audit.THRESHOLDS.items()} == vars(AuditThresholds())


def test_wrong_options_are_refused_before_any_import(repository, tmp_path):
    done = start(repository, "train", "--config-file", "fcos")
    assert done.returncode == 2 and "did you mean" in done.stderr and ".yaml" in done.stderr
    done = start(repository, "predict", "--input", tmp_path / "none.png")
    assert done.returncode == 1
    assert done.stderr.strip().endswith("none.png: no such file, and no picture or video in it")


@pytest.fixture
def journal(tmp_path):
    """A journal with one proposal on annotation 7 of a COCO file."""
    file = tmp_path / "labels.json"
    categories = [{"id": 1, "name": "car"}, {"id": 2, "name": "bus"}]
    given = {"id": 7, "image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5], "area": 25}
    picture = {"id": 1, "file_name": "a.png", "width": 9, "height": 9}
    file.write_text(
        json.dumps({"images": [picture], "annotations": [given], "categories": categories})
    )
    identity = DatasetIdentity("mine", str(file), file_sha256(file), ("car", "bus"), 1)
    store = RelabelStore([identity])
    box = (0.0, 0.0, 5.0, 5.0)
    store.extend([Entry(0, 9, "proposed", "mine", 1, 7, "a.png", box, "car", "bus", 0.1, 0.9)])
    store.save(tmp_path / "relabels.jsonl")
    return tmp_path / "relabels.jsonl"


def test_a_journal_is_changed_without_torch(repository, journal, tmp_path):
    done = start(repository, "audit", "undo", "--journal", journal, "--all", modules=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{journal}: 1 entries added", "[]"]
    output = tmp_path / "corrected.json"
    words = ["audit", "export", "--journal", journal, "--proposed", "--output", output]
    done = start(repository, *words, modules=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    assert json.loads(output.read_text())["annotations"][0]["category_id"] == 1, "it was undone"


def test_errors_of_the_user_are_one_message(repository, journal):
    words = ["audit", "undo", "--journal", journal, "--annotations", "77"]
    done = start(repository, *words)
    assert done.returncode == 1
    assert done.stderr == f"drfpn-da audit: annotation 77 is not in {journal}\n"
    done = start(repository, "--debug", *words)
    assert done.returncode == 1 and "Traceback" in done.stderr


@pytest.mark.parametrize("error", [ValueError, FileNotFoundError, KeyError, CheckpointError])
def test_kinds_of_user_errors(monkeypatch, capsys, error):
    def work(args, prepare):
        raise error("write MODEL.X\nor nothing")

    monkeypatch.setattr(front, "_run", work)
    assert front.main(["configs", "list"]) == 1
    assert capsys.readouterr().err == "drfpn-da configs: write MODEL.X\nor nothing\n"
    with pytest.raises(error):
        front.main(["configs", "list", "--debug"])


@pytest.mark.parametrize("error", [KeyError("boxes"), RuntimeError("a fault of ours"), KeyError()])
def test_faults_of_the_program_keep_their_traceback(monkeypatch, error):
    def work(args, prepare):
        raise error

    monkeypatch.setattr(front, "_run", work)
    with pytest.raises(type(error)):
        front.main(["configs", "list"])


def test_configs_are_listed_and_shown(capsys):
    assert front.main(["configs", "list", "bccd", "drfpn.yaml"]) == 0
    (name,) = capsys.readouterr().out.split()
    assert name == "drfpn/bccd/faster_rcnn_mobilenetv2_drfpn.yaml"
    assert front.main(["configs", "show", name, "SOLVER.MAX_ITER", "7"]) == 0
    shown = capsys.readouterr().out
    assert "MAX_ITER: 7\n" in shown and "AUTHORS_COMPAT: false\n" in shown
    assert front.main(["configs", "show", "drfpn/lazy/faster_rcnn_R_50_DRFPN_1x.py"]) == 0
    assert "DRFPN" in capsys.readouterr().out
    assert front.main(["configs", "list", "nowhere"]) == 1


def test_python_configs_do_not_register(capsys):
    config = "drfpn/lazy/faster_rcnn_R_50_DRFPN_1x.py"
    with pytest.raises(SystemExit, match="is a Python file"):
        front.call(["train", "--config-file", config, "--register-images", "fog", "folder"])


def test_scripts_can_be_executed(repository):
    """Every file that names its interpreter, in the checkout and in git."""
    listing = subprocess.run(
        ["git", "ls-files", "-s"], cwd=repository, capture_output=True, text=True
    )
    if listing.returncode:
        pytest.skip("no git here")
    found = 0
    for line in listing.stdout.splitlines():
        mode, name = line.split()[0], line.split("\t")[1]
        path = repository / name
        if path.is_file() and not path.is_symlink() and path.read_bytes()[:2] == b"#!":
            found += 1
            assert mode == "100755", f"git update-index --chmod=+x {name}"
    assert found > 20


def test_tools_are_commands(repository):
    found = 0
    for path in sorted((repository / "tools").glob("*.py")):
        for words in re.findall(r"Script\(([^)]+)\)", path.read_text(encoding="utf-8")):
            command, found = tuple(json.loads(f"[{words}]")), found + 1
            assert any(known[: len(command)] == command for known in COMMANDS), path
    assert found > 15
