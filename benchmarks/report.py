"""What every benchmark writes: JSON with versions and commit, and a table."""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate

from drfpn_da.files import write_whole

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def plain_parser(doc: str | None) -> argparse.ArgumentParser:
    """Return an empty parser that describes a benchmark by its docstring."""
    return argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def describe_environment() -> dict[str, Any]:
    """Versions, device and commit of this run."""
    import detectron2
    import torchvision

    def git(*arguments: str) -> str:
        if shutil.which("git") is None:
            return "unknown" if "rev-parse" in arguments else ""
        return subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True
        ).stdout.strip()

    return {
        "commit": git("rev-parse", "--short", "HEAD")
        + ("+changes" if git("status", "--porcelain", "-uno") else ""),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "detectron2": detectron2.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    }


def write_report(path: Path, result: Mapping[str, Any]) -> None:
    """Write ``result`` as JSON, atomically, with the environment of now if it holds none."""
    found = {} if "environment" in result else {"environment": describe_environment()}
    text = json.dumps({**found, **result}, indent=1) + "\n"
    write_whole(path, lambda file: file.write(text.encode()))


def format_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A GitHub table of dictionaries with the same keys."""
    return tabulate(rows, headers="keys", tablefmt="github", floatfmt=".2f")
