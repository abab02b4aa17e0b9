"""Former names of modules and of what they hold, which warn and go with the next release."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

#: Former name of a module -> its name now.
MODULES = {
    "drfpn_da.engine.label_sweep": "drfpn_da.engine.confidence_sweep",
    "drfpn_da.engine.second_opinion": "drfpn_da.engine.other_evaluation",
    "drfpn_da.functional.berhu": "drfpn_da.functional.depth_losses",
    "drfpn_da.modeling.own_disparity": "drfpn_da.modeling.predicted_disparity",
}


def former_names(module: str, **names: str) -> Callable[[str], Any]:
    """Return a module's ``__getattr__`` that finds what has another name now.

    Args:
        module: name of the module.
        names: former name -> name in the module now.
    """

    def find(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module '{module}' has no attribute '{name}'")
        _warn(f"{module}.{name}", f"{module}.{names[name]}")
        return getattr(sys.modules[module], names[name])

    return find


class _FormerModules(MetaPathFinder, Loader):
    """Imports the module of today in place of a former one."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in MODULES else None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        _warn(name, MODULES[name])
        # The import system returns what lies there.
        sys.modules[name] = importlib.import_module(MODULES[name])


def _warn(former: str, now: str) -> None:
    warnings.warn(f"{former} is {now} now; the former name goes", DeprecationWarning, stacklevel=3)


sys.meta_path.append(_FormerModules())
