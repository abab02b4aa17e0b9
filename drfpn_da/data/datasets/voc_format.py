"""Pictures with PASCAL VOC annotations: Sim10k, Clipart1k, Watercolor2k, Comic2k and VOC itself."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..picture_files import picture_size
from .coco_files import Labelled, clip_box, load_derived


def read_ids(list_file: Path) -> list[str]:
    """Read picture names from a file of ``ImageSets/Main``, one a line.

    Raises:
        ValueError: the file names no picture.
    """
    ids = [line.split()[0] for line in list_file.read_text().splitlines() if line.strip()]
    if not ids:
        raise ValueError(f"{list_file} names no picture")
    return ids


def load_voc_format(
    name: str, root: Path, ids: Sequence[str], classes: Sequence[str]
) -> list[dict]:
    """Load pictures ``JPEGImages/<id>.jpg`` with ``Annotations/<id>.xml`` as data set dicts.

    Objects of other classes are left out, pictures without objects are kept. Coordinates become
    0-based as in detectron2's own VOC sets (1 is taken from the left and upper border). Difficult
    objects are annotated like others, with ``"difficult": 1`` in the JSON that evaluators read.

    Args:
        name: registered name.
        root: folder with ``JPEGImages`` and ``Annotations``.
        ids: names of the pictures without suffix.
        classes: names of the classes that count, in the order of the model's outputs.

    Raises:
        FileNotFoundError: a picture or an annotation file is missing.
        ValueError: an annotation file cannot be read or has no object of a known form.
    """
    present = {path.stem for path in (root / "JPEGImages").glob("*.jpg")}
    absent = next((i for i in ids if i not in present), None)
    if absent is not None:
        raise FileNotFoundError(f"dataset '{name}': {root}/JPEGImages/{absent}.jpg does not exist")
    annotations = [root / "Annotations" / f"{i}.xml" for i in ids]
    absent_file = next((path for path in annotations if not path.is_file()), None)
    if absent_file is not None:
        raise FileNotFoundError(f"dataset '{name}': {absent_file} does not exist")

    def read() -> Iterator[Labelled]:
        for path in annotations:
            yield _read_picture(root, path, list(classes))

    return load_derived(name, root / "JPEGImages", annotations, classes, read)


def _read_picture(root: Path, path: Path, classes: list[str]) -> Labelled:
    picture = f"{path.stem}.jpg"
    try:
        tree = ET.parse(path)
        width, height = _read_size(tree) or picture_size(root / "JPEGImages" / picture)
        objects = []
        for entry in tree.findall("object"):
            label = (entry.findtext("name") or "").strip()
            if label not in classes:
                continue
            x0, y0, x1, y1 = (
                float(entry.findtext(f"bndbox/{side}") or "")
                for side in ("xmin", "ymin", "xmax", "ymax")
            )
            box = clip_box(x0 - 1, y0 - 1, x1, y1, width, height)
            if box is None:
                continue
            found = {"category_id": classes.index(label) + 1, "bbox": box}
            if int(entry.findtext("difficult") or 0):
                found["difficult"] = 1
            objects.append(found)
    except (ET.ParseError, ValueError) as error:
        raise ValueError(f"{path} is not a readable VOC annotation ({error})") from error
    return {"file_name": picture, "width": width, "height": height}, objects


def _read_size(tree: ET.ElementTree[ET.Element]) -> tuple[int, int] | None:
    width, height = (int(tree.findtext(f"size/{side}") or 0) for side in ("width", "height"))
    return (width, height) if width > 0 and height > 0 else None
