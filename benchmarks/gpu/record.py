"""What a run found so far: written after each case, so that a run that is cut keeps it."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.report import describe_environment, format_table, write_report
from drfpn_da.files import write_whole


class Record:
    """Rows by table, and what was left out, as JSON and beside it as Markdown.

    Args:
        path: of the JSON file; the Markdown has the same name with ``.md``.
        settings: of the run.

    Raises:
        FileExistsError: one of the files is there already.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self._path, self._settings = path, settings
        self._environment = describe_environment()
        for file in (path, path.with_suffix(".md")):
            if file.exists():
                raise FileExistsError(f"{file} is there already: name another with --output")
        self.tables: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.left_out: list[dict[str, str]] = []

    def add(self, table: str, rows: list[dict[str, Any]]) -> None:
        """Append rows to a table and write everything."""
        self.tables[table] += rows
        self.write()

    def leave_out(self, case: str, why: str) -> None:
        """Note that a case has no result, and write everything."""
        self.left_out.append({"left out": case, "why": why})
        self.write()

    def write(self) -> None:
        """Write both files, each as a whole."""
        found = {
            "environment": self._environment,
            "settings": self._settings,
            "tables": self.tables,
            "left out": self.left_out,
        }
        write_report(self._path, found)
        text = self.markdown().encode()
        write_whole(self._path.with_suffix(".md"), lambda file: file.write(text))

    def markdown(self) -> str:
        """The tables, one below the other."""
        about = {**self._environment, **self._settings}
        parts = ["# GPU figures", ", ".join(f"{key} {value}" for key, value in about.items())]
        for name, rows in self.tables.items():
            parts += [f"## {name}", format_table(rows)]
        parts += ["## Left out", format_table(self.left_out) if self.left_out else "Nothing."]
        return "\n\n".join(parts) + "\n"
