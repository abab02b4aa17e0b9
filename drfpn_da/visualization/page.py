"""One self-contained HTML page of text, tables and pictures."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..files import save_text

# Between the pictures of a gallery.
_GAP = "0.8rem"
_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2330; background: #fff;
       max-width: 1180px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.9rem; margin: 0 0 .3rem; }
h2 { font-size: 1.25rem; margin: 2.4rem 0 .6rem; border-bottom: 2px solid #e3e7ee; }
p { max-width: 52rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; margin: .8rem 0; }
.gallery { display: grid; gap: 0.8rem; margin: 1rem 0; align-items: end; }
.gallery figure { margin: 0; }
.gallery img { width: 100%; border-radius: 4px; }
th, td { padding: .35rem .9rem; text-align: right; border-bottom: 1px solid #e3e7ee; }
th { background: #f4f6fa; }
th:first-child, td:first-child { text-align: left; }
figure { margin: 1rem 0; }
img { max-width: 100%; height: auto; }
figcaption, small { color: #5b6577; }
@media (max-width: 600px) { th, td { padding: .3rem .45rem; } }
pre { background: #f4f6fa; padding: .8rem 1rem; overflow-x: auto; border-radius: 6px; }
"""


class Page:
    """Collects the parts of a page, in order. Text is escaped; pictures are embedded.

    >>> page = Page("Results")
    >>> page.heading("Numbers").table(["run", "AP"], [["a", 31.2]])
    >>> page.save("results.html")
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self._title = html.escape(title)
        self._parts = [f"<h1>{self._title}</h1>"]
        if subtitle:
            self.text(subtitle)

    def heading(self, text: str) -> Page:
        """Add the heading of a section."""
        return self._add(f"<h2>{html.escape(text)}</h2>")

    def text(self, text: str) -> Page:
        """Add a paragraph."""
        return self._add(f"<p>{html.escape(text)}</p>")

    def code(self, text: str) -> Page:
        """Add preformatted text, for commands."""
        return self._add(f"<pre>{html.escape(text)}</pre>")

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[object]]) -> Page:
        """Add a table; floats are shown with one decimal."""
        head = "".join(f"<th>{html.escape(h)}</th>" for h in headers)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(_text(cell))}</td>" for cell in row) + "</tr>"
            for row in rows
        )
        return self._add(f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>')

    def link(self, text: str, target: str) -> Page:
        """Add a paragraph that is a link, relative to the page."""
        return self._add(f'<p><a href="{html.escape(target)}">{html.escape(text)}</a></p>')

    def picture(self, image: np.ndarray, caption: str = "") -> Page:
        """Add a picture, (H, W, 3) uint8 RGB."""
        return self._add(_figure(image, caption, "PNG", {"optimize": True}))

    def gallery(
        self,
        images: Sequence[np.ndarray],
        captions: Sequence[str],
        columns: int = 3,
        width: int = 300,
    ) -> Page:
        """Add photographs in rows; in a narrow window the rows are shorter.

        Args:
            images: (H, W, 3) uint8 RGB. Embedded as JPEG: many drawn photographs are large as PNG.
            captions: one for each.
            columns: most in a row.
            width: in pixels; where they would be less wide, there are fewer in a row.
        """
        figures = [
            _figure(image, caption, "JPEG", {"quality": 88})
            for image, caption in zip(images, captions)
        ]
        share = f"(100% - {columns - 1} * {_GAP}) / {columns}"
        least = f"min(100%, max({width}px, {share}))"
        style = f"grid-template-columns: repeat(auto-fill, minmax({least}, 1fr))"
        return self._add(f'<div class="gallery" style="{style}">{"".join(figures)}</div>')

    def save(self, path: str | Path) -> Path:
        """Write the page under a free name; see :func:`save_new`."""
        text = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{self._title}</title><style>{_STYLE}</style></head><body>"
            + "\n".join(self._parts)
            + "</body></html>\n"
        )
        return save_text(text, path)

    def _add(self, part: str) -> Page:
        self._parts.append(part)
        return self


def _figure(image: np.ndarray, caption: str, kind: str, options: dict[str, Any]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    data = base64.b64encode(buffer.getvalue()).decode()
    text = html.escape(caption)
    return (
        f'<figure><img alt="{text}" src="data:image/{kind.lower()};base64,{data}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def _text(cell: object) -> str:
    if isinstance(cell, float):
        return f"{cell:.1f}" if np.isfinite(cell) else "-"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
