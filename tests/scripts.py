"""Loading a script of the repository as a module, to test its functions."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from drfpn_da.cli import train, train_lazy
from drfpn_da.cli.main import call

TRAINING = {"train_net": train.main, "lazyconfig_train_net": train_lazy.main}


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


class Tool:
    """A file of ``tools`` that is a command of ``drfpn-da``, run in this process."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self._name, self._command = name, command

    def main(self, words: Sequence[str] | argparse.Namespace) -> Any:
        """Run it, by its words or by options that were read; errors pass."""
        if isinstance(words, argparse.Namespace):
            return TRAINING[self._name](words)
        return call([*self._command, *words])


def load_tool(name: str) -> ModuleType | Tool:
    """Return the module made from a file of ``tools``, or the command that it is."""
    module = load_script(Path(__file__).parents[1] / "tools" / f"{name}.py")
    return Tool(name, module.COMMAND) if hasattr(module, "COMMAND") else module
