"""What a wheel of the project holds and asks for."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile

import pytest

# A matched set that belongs to the user.
NOT_TO_TOUCH = {"torch", "torchvision", "detectron2", "sal-detectron2", "opencv-python"}


@pytest.fixture(scope="module")
def wheel(repository, tmp_path_factory):
    """Build a wheel from a copy of what is shipped, offline, and open it."""
    import shutil

    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("drfpn_da", "configs"):
        shutil.copytree(
            repository / name, source / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    files = ("setup.py", "pyproject.toml", "LICENSE", "README.md", "MANIFEST.in", "drfpn_da_cli.py")
    for name in files:
        if (repository / name).exists():
            shutil.copy(repository / name, source / name)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    command = [sys.executable, "-m", "pip", "wheel", *options, "-w", str(target), str(source)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    (path,) = target.glob("drfpn_da-*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


@pytest.fixture(scope="module")
def requirements(wheel):
    """Return (name, extra or None) of each requirement in the wheel's metadata."""
    name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = wheel.read(name).decode()
    found = re.findall(r"^Requires-Dist: ([\w.-]+)([^\n]*)", metadata, re.MULTILINE)
    return [(name.lower(), "extra ==" in rest) for name, rest in found]


def test_any_python_can_install_it(wheel):
    assert wheel.filename.endswith("-py3-none-any.whl")


def test_wheel_holds_configs_license_and_types(wheel, repository):
    names = set(wheel.namelist())
    configs = [
        path for path in (repository / "configs").rglob("*") if path.suffix in (".yaml", ".py")
    ]
    assert configs
    for path in configs:
        assert f"drfpn_da/{path.relative_to(repository).as_posix()}" in names
    assert "drfpn_da/py.typed" in names
    assert any(name.endswith("LICENSE") for name in names)


def test_wheel_holds_every_module_and_nothing_else(wheel, repository):
    names = set(wheel.namelist())
    for path in (repository / "drfpn_da").rglob("*.py"):
        assert path.relative_to(repository).as_posix() in names, "a folder without __init__.py?"
    roots = {name.split("/")[0] for name in names}
    assert {root for root in roots if not root.endswith(".dist-info")} == {
        "drfpn_da",
        "drfpn_da_cli.py",
    }


def test_wheel_brings_the_command(wheel):
    name = next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "drfpn-da = drfpn_da_cli:main" in wheel.read(name).decode()


def test_installing_does_not_ask_for_torch_or_detectron2(requirements):
    needed = {name for name, is_extra in requirements if not is_extra}
    assert not needed & NOT_TO_TOUCH
    assert {"fvcore", "iopath", "pycocotools", "omegaconf"} <= needed


def test_no_extra_asks_for_torch_or_detectron2(requirements):
    assert not {name for name, _ in requirements} & NOT_TO_TOUCH


def test_lock_pins_torch_and_torchvision_exactly_and_together(repository):
    lock = (repository / "requirements.txt").read_text(encoding="utf-8")
    pins = dict(
        re.findall(r"^(torch(?:vision)?)==([\d.]+) ; python_full_version >= '3.10'", lock, re.M)
    )
    assert pins == {"torch": "2.12.1", "torchvision": "0.27.1"}
    assert not re.search(r"^[\w-]+(>|<|~|$)", lock, re.M), "every line is an exact pin"
