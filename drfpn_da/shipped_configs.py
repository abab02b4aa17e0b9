"""Where the shipped configs are and what they are called; needs neither torch nor detectron2."""

from __future__ import annotations

import difflib
from pathlib import Path

# Parts of other configs, which cannot be trained alone.
_FRAGMENT_PREFIXES = ("Base", "_")
_FRAGMENT_FOLDERS = ("common",)


def config_root() -> Path:
    """Return the folder of the configs: inside the package if installed, else beside it."""
    package = Path(__file__).resolve().parent
    for root in (package / "configs", package.parent / "configs"):
        if root.is_dir():
            return root
    raise FileNotFoundError(
        f"the configs of drfpn_da are neither in {package} nor beside it: install the package again"
    )


def list_configs() -> list[str]:
    """Return the names of all complete configs, sorted: YAML and Lazy, relative to ``configs/``."""
    root = config_root()
    files = [path.relative_to(root) for kind in ("*.yaml", "*.py") for path in root.rglob(kind)]
    return sorted(path.as_posix() for path in files if not _is_fragment(path))


def _is_fragment(path: Path) -> bool:
    return path.name.startswith(_FRAGMENT_PREFIXES) or any(
        folder in _FRAGMENT_FOLDERS for folder in path.parts[:-1]
    )


def get_config_file(name: str) -> str:
    """Return the path of a shipped config.

    Args:
        name: as in :func:`list_configs`; the base configs that others build on are found too.

    Raises:
        ValueError: no such config; the message suggests the nearest names.
    """
    root = config_root()
    path = (root / name).resolve()
    if path.is_file() and path.suffix in (".yaml", ".py") and root in path.parents:
        return str(path)
    names = list_configs()
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    # Also those whose file name alone is near: the folder is forgotten easily. Several folders may
    # have a file of that name.
    files = [Path(known).name for known in names]
    close = difflib.get_close_matches(Path(name).name, set(files), n=2, cutoff=0.8)
    near += [known for file in close for known, own in zip(names, files) if own == file]
    near += sorted((known for known in names if name and name in known), key=len)[:3]
    hint = f"did you mean {' or '.join(dict.fromkeys(near))}?" if near else "none is near."
    raise ValueError(
        f"no config named {name!r} in drfpn_da: {hint} model_zoo.list_configs() has all."
    )
