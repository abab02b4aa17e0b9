"""The program ``drfpn-da``: reads the command line before it imports torch and detectron2.

Importing a module of a package runs the package first, and ``drfpn_da`` registers all its parts
when it is imported: some seconds, of which a help text or a wrong option need nothing. Here the
package is made known without being run; it is run, as by any other import, when the command's work
begins. Commands whose work needs no part (``audit undo``, ``configs list``) never run it.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType


def _make_known(name: str) -> ModuleType:
    """Return the package as a module that has not run, whose modules can be imported."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        raise ModuleNotFoundError(f"No module named '{name}'", name=name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    return module


def main() -> int:
    """Run the command line of this process; return the exit code."""
    package = _make_known("drfpn_da")

    def run_package() -> None:
        package.__spec__.loader.exec_module(package)  # type: ignore[union-attr]

    from drfpn_da.cli.main import main as run

    return run(prepare=run_package)


if __name__ == "__main__":
    sys.exit(main())
