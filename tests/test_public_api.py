"""The public names are frozen in api_surface.json; after a wanted change: ``make api``."""

from __future__ import annotations

import importlib
import json
import pkgutil
from pathlib import Path

import drfpn_da

SNAPSHOT = Path(__file__).with_name("api_surface.json")


def public_names() -> dict[str, list[str]]:
    """Return module -> its ``__all__`` for the package, its packages and public modules."""
    names = {"drfpn_da": sorted(drfpn_da.__all__)}
    for module in pkgutil.walk_packages(drfpn_da.__path__, "drfpn_da."):
        is_top_level = module.name.count(".") == 1
        if not (module.ispkg or is_top_level) or "._" in module.name:
            continue
        exported = getattr(importlib.import_module(module.name), "__all__", None)
        if exported is not None:
            names[module.name] = sorted(exported)
    return names


def test_public_names_are_those_of_the_snapshot():
    frozen = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    current = public_names()
    for module in sorted(frozen.keys() | current.keys()):
        gone = set(frozen.get(module, [])) - set(current.get(module, []))
        new = set(current.get(module, [])) - set(frozen.get(module, []))
        assert not gone, f"{module} no longer has {sorted(gone)}: if that is wanted, run `make api`"
        assert not new, f"{module} now has {sorted(new)}: if that is wanted, run `make api`"


def test_every_public_name_exists_and_is_documented():
    for module, names in public_names().items():
        imported = importlib.import_module(module)
        for name in names:
            value = getattr(imported, name)
            if callable(value):
                assert (value.__doc__ or "").strip(), f"{module}.{name} has no docstring"


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(public_names(), indent=1) + "\n", encoding="utf-8")
    print(f"wrote {SNAPSHOT}")
