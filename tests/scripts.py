"""Loading a script of the repository as a module, to test its functions."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def load_script(path: Path) -> ModuleType:
    """Return the module made from a file that is in no package; ``__main__`` does not run.

    As for a script that is run, modules beside it can be imported.
    """
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    name = f"script_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


def load_tool(name: str) -> ModuleType:
    """Return the module made from a file of ``tools``."""
    return load_script(Path(__file__).parents[1] / "tools" / f"{name}.py")
