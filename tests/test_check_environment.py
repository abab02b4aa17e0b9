"""A wrong set of packages gives one message with the cure; the packages here are stand-ins."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "drfpn_da"

TORCH = """
class _Tensor:
    def numpy(self): return None
def zeros(n): return _Tensor()
class ops:
    class torchvision:
        nms = None
"""
GOOD = {
    "torch/__init__.py": TORCH,
    "torchvision/__init__.py": "",
    "detectron2/__init__.py": "",
    "detectron2/data/__init__.py": "",
    "detectron2/data/transforms.py": "",
    "detectron2/modeling.py": "",
}
NO_NUMPY = "def numpy(self): raise RuntimeError('Numpy is not available')"
NO_LINEAR = "raise AttributeError(\"module 'PIL.Image' has no attribute 'LINEAR'\")"
NO_BOOL = "raise AttributeError(\"module 'numpy' has no attribute 'bool'\")"
NO_NMS = "raise RuntimeError('operator torchvision::nms does not exist')"
BROKEN = {
    "no detectron2": (
        {name: None for name in GOOD if name.startswith("detectron2")},
        "detectron2 is not installed",
        "make install",
    ),
    "torchvision of another torch": (
        {"torchvision/__init__.py": NO_NMS},
        "does not fit",
        "torchvision==",
    ),
    "torchvision without operators": (
        {"torch/__init__.py": TORCH.replace("nms = None", "pass")},
        "does not fit",
        "torchvision==",
    ),
    "numpy 2 with a torch for numpy 1": (
        {"torch/__init__.py": TORCH.replace("def numpy(self): return None", NO_NUMPY)},
        "compiled for numpy 1",
        "numpy<2",
    ),
    "v0.6 with a new Pillow": (
        {"detectron2/data/transforms.py": NO_LINEAR},
        "Image.LINEAR",
        "Pillow<10",
    ),
    "v0.6 with a new numpy": (
        {"detectron2/modeling.py": NO_BOOL},
        "v0.6",
        "numpy<1.24",
    ),
    "anything else": (
        {"detectron2/modeling.py": "raise OSError('libx.so')"},
        "libx.so",
        "docs/compat",
    ),
}


def check(folder: Path, files: dict[str, str | None]) -> subprocess.CompletedProcess:
    """Import the check where only the stand-ins and the standard library can be imported."""
    for name, text in files.items():
        if text is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
    code = (
        f"import sys; sys.path[:0] = [{str(folder)!r}, {str(PACKAGE)!r}]; import _check_environment"
    )
    return subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True)


def test_good_environment_passes_silently(tmp_path):
    result = check(tmp_path, GOOD)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize("case", sorted(BROKEN))
def test_broken_environment_names_problem_and_cure(case, tmp_path):
    changes, problem, cure = BROKEN[case]
    result = check(tmp_path, {**GOOD, **changes})
    assert result.returncode != 0
    message = result.stderr[result.stderr.rindex("ImportError: drfpn_da cannot be imported") :]
    assert problem in message
    assert cure in message
    assert "found: python " in message, "the versions are listed"


def test_package_makes_the_check_before_anything_else():
    lines = (PACKAGE / "__init__.py").read_text(encoding="utf-8").splitlines()
    imports = [line for line in lines if line.startswith(("import ", "from "))]
    assert "_check_environment" in imports[0]
