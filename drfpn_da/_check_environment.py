"""One clear message where detectron2, torch, torchvision, numpy or Pillow is missing or unfit.

detectron2 is installed by hand and compiled against one torch; a wrong combination shows as an
obscure error from deep inside a library. Importing this module makes the check. The modules tried
here are those that drfpn_da needs anyway, so a good environment pays nothing for it.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys

# Tried in this order, so that the first failure is the cause.
NEEDED = ("torch", "torchvision", "detectron2", "detectron2.data.transforms", "detectron2.modeling")

# A piece of the original error -> what is wrong, and the cure. The first match counts.
DIAGNOSES = (
    (
        "No module named 'detectron2'",
        "detectron2 is not installed",
        "pip install --no-build-isolation git+https://github.com/facebookresearch/detectron2.git\n"
        "        (after torch), or `make install` in a checkout of drfpn_da does everything",
    ),
    (
        "No module named 'pkg_resources'",
        "setuptools no longer has pkg_resources, which detectron2 imports",
        "pip install 'setuptools<81'",
    ),
    (
        "torchvision::",
        "torchvision does not fit torch: its operators are missing",
        "install an exact pair, for example: pip install torch==2.12.1 torchvision==0.27.1",
    ),
    (
        "Numpy is not available",
        "torch was compiled for numpy 1 and numpy 2 is installed",
        "pip install 'numpy<2', or a newer torch with its torchvision",
    ),
    (
        "numpy.core.multiarray failed to import",
        "a compiled package was built for another numpy",
        "pip install 'numpy<2'",
    ),
    (
        "numpy.dtype size changed",
        "a compiled package was built for another numpy",
        "pip install 'numpy<2', and install pycocotools anew",
    ),
    (
        "module 'numpy' has no attribute",
        "this detectron2 (v0.6) uses names that numpy 1.24 removed",
        "pip install 'numpy<1.24', or a newer detectron2",
    ),
    (
        "PIL.Image' has no attribute 'LINEAR'",
        "this detectron2 (v0.6) uses Image.LINEAR, which Pillow 10 removed",
        "pip install 'Pillow<10', or a newer detectron2",
    ),
    (
        "undefined symbol",
        "detectron2 or torchvision was compiled for another torch",
        "build detectron2 anew after every change of torch: pip install --no-build-isolation "
        "--force-reinstall --no-deps git+https://github.com/facebookresearch/detectron2.git",
    ),
)


def check_environment() -> None:
    """Import what drfpn_da stands on.

    Raises:
        ImportError: with what is wrong, the versions found and the cure.
    """
    for name in NEEDED:
        try:
            importlib.import_module(name)
            if name == "torchvision":
                _try_operators()
        except Exception as error:
            raise ImportError(_explain(name, error)) from error


def _try_operators() -> None:
    """Use one operator of torchvision and one bridge to numpy, which a wrong pair breaks."""
    import torch

    torch.zeros(1).numpy()
    # A torchvision without its compiled part imports silently and fails at the first NMS.
    if not hasattr(torch.ops.torchvision, "nms"):
        raise RuntimeError("operator torchvision::nms does not exist")


def _explain(name: str, error: Exception) -> str:
    text = f"{type(error).__name__}: {error}"
    problem, cure = (
        f"importing {name} failed",
        "mend the error above, or run `make install`",
    )
    for piece, what, remedy in DIAGNOSES:
        if piece in text:
            problem, cure = what, remedy
            break
    return (
        f"drfpn_da cannot be imported: {problem}.\n"
        f"  error: {text}\n"
        f"  found: {_versions()}\n"
        f"  cure:  {cure}\n"
        "  Combinations that work are listed in docs/compatibility.md."
    )


def _versions() -> str:
    """Return the installed versions, from the packages' metadata since their import may fail."""
    from importlib.metadata import PackageNotFoundError, version

    found = ["python " + sys.version.split()[0]]
    for name in ("torch", "torchvision", "detectron2", "numpy", "Pillow"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            # A redistribution of detectron2 has another name, which does not matter.
            there = importlib.util.find_spec(name) is not None
            found.append(f"{name} (unknown version)" if there else f"no {name}")
    return ", ".join(found)


check_environment()
