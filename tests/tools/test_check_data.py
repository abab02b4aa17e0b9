"""The check by itself: exit codes, the table, and the report for machines."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from PIL import Image

from tests.scripts import load_tool
from tests.tiny_coco import write_tiny_coco


@pytest.fixture
def labels(tmp_path):
    return write_tiny_coco(tmp_path / "data", count=2)


def spoil(path, **values):
    with open(path) as file:
        data = json.load(file)
    data["annotations"][1].update(values)
    with open(path, "w") as file:
        json.dump(data, file)


def test_sound(labels, capsys, repository):
    file, images = labels
    assert load_tool("check_data").main([file, images, "--images", images]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{file}: sound", f"{images}: sound"]
    assert os.access(repository / "tools" / "check_data.py", os.X_OK)


def test_warnings_leave_0_and_errors_1(labels, tmp_path, capsys):
    main = load_tool("check_data").main
    file, images = labels
    spoil(file, bbox=[5, 5, 0, 9])
    assert main([file, "--images", images]) == 0
    assert "bbox_no_size" in capsys.readouterr().out
    spoil(file, bbox=None)
    report = tmp_path / "new" / "report.json"
    assert main([file, "--json", str(report)]) == 1
    assert "The pictures of label files were not looked for" in capsys.readouterr().out
    content = json.loads(report.read_text())
    assert content["sound"] is False
    (found,) = content["files"][0]["findings"]
    assert (found["code"], found["severity"], found["count"]) == ("bbox_malformed", "error", 1)
    assert found["places"] == [{"where": "annotations[1]", "id": 2, "detail": "bbox None"}]
    assert found["fix"]
    assert main([file, "--images", images, "--pictures-only"]) == 0


def test_folder(tmp_path, capsys):
    main = load_tool("check_data").main
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / "empty")]) == 1
    Image.new("I;16", (4, 4)).save(tmp_path / "wide.png")
    assert main([str(tmp_path)]) == 0
    (tmp_path / "bad.png").write_bytes(b"x")
    assert main([str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "no_picture" in printed and "image_wide" in printed and "image_unreadable" in printed


@pytest.mark.parametrize("words", [["nowhere.json"], ["FILE", "--images", "nowhere"], []])
def test_wrong_commands_leave_2(labels, words):
    with pytest.raises(SystemExit) as error:
        load_tool("check_data").main([labels[0] if w == "FILE" else w for w in words])
    assert error.value.code == 2


def test_report_is_never_written_over(labels):
    with pytest.raises(SystemExit) as error:
        load_tool("check_data").main([labels[0], "--json", labels[0]])
    assert error.value.code == 2


def test_as_a_command(labels, repository):
    spoil(labels[0], segmentation=[1, 2, 3, 4, 5, 6])
    command = [sys.executable, str(repository / "tools" / "check_data.py"), labels[0]]
    done = subprocess.run(command, cwd=repository, env={**os.environ, "PYTHONPATH": "."},
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 1 and "polygon_flat" in done.stdout
