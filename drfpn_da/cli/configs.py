"""List and show the shipped configs: the work of ``drfpn-da configs``."""

from __future__ import annotations

import argparse

from ..shipped_configs import list_configs


def list_names(args: argparse.Namespace) -> None:
    """Print the names that have every word."""
    names = [name for name in list_configs() if all(word in name for word in args.words)]
    if not names:
        raise ValueError(f"no shipped config has {' and '.join(args.words)} in its name")
    print(*names, sep="\n")


def show(args: argparse.Namespace) -> None:
    """Print a config with everything that it builds on."""
    from detectron2.config import LazyConfig

    from ..config import setup_cfg
    from ..config.safe_yaml import load_lazy_config
    from ..config.setup import find_config_file

    if args.config_file.endswith(".py"):
        cfg = load_lazy_config(find_config_file(args.config_file))
        print(LazyConfig.to_py(LazyConfig.apply_overrides(cfg, args.opts)))
    else:
        print(setup_cfg(args).dump())
