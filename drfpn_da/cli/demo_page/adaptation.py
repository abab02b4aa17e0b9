"""The chapter about clear and foggy streets: source only against adapted."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.engine import DefaultPredictor

from ...visualization import Page, contact_sheet, draw_predictions, draw_truth, read_rgb
from .runs import Run

THRESHOLD = 0.3
SCENES = 3
# Enlargement; labels do not grow with it, so that they hide less.
SCALE = 3
# Standard deviation of AP50 in fog over seeds, of the study in docs/results.md (2.1 to 3.1).
SEED_SPREAD = 3.0
TITLES = {"source_only": "source only", "adapted": "adapted"}


def add_chapter(page: Page, runs: Mapping[str, Run]) -> np.ndarray:
    """Add the chapter; return its first scene in fog as a picture of its own."""
    models = {title: runs[name] for name, title in TITLES.items()}
    cfg = runs["adapted"].cfg
    clear, foggy = cfg.DATASETS.TEST
    page.heading("1. Clear streets to fog")
    page.text(
        "Both detectors go on from the same one, with the same labelled clear pictures: one sees "
        f"nothing else, the other also {len(DatasetCatalog.get(cfg.DATASETS.TARGET[0]))} foggy "
        "pictures without labels, to which it aligns its features and which its teacher labels."
    )
    scores = {
        domain: [runs[name].final(f"{test}/bbox/AP50") for name in TITLES]
        for domain, test in (("fog", foggy), ("clear air", clear))
    }
    for domain, (before, after) in scores.items():
        page.text(verdict(domain, before, after))
    page.table(*results_table(models, clear, foggy))
    page.text(
        f"The {SCENES} foggy test pictures with most objects, and one in clear air; drawn are "
        f"detections with a score of {THRESHOLD} or more, coloured by class."
    )
    predictors = {title: DefaultPredictor(run.cfg) for title, run in models.items()}
    first: list[np.ndarray] = []
    titles: list[str] = []
    for test, domain, number in ((foggy, "fog", SCENES), (clear, "clear", 1)):
        for index in busiest(test, number):
            drawn, found = draw_scene(predictors, test, index)
            titles = [f"{domain}: the truth"]
            titles += [f"{domain}: {title}, {found[title]} found" for title in models]
            page.gallery(drawn, titles, columns=len(drawn), width=280)
            first = first or [contact_sheet(drawn, titles, columns=len(drawn))]
    page.table(*class_table(models, foggy))
    return first[0]


def verdict(domain: str, before: float, after: float) -> str:
    """Say what adaptation did to the AP50 of a domain, in the light of what a seed may do."""
    if math.isnan(before) or math.isnan(after):
        return f"In {domain} nothing was measured."
    change = after - before
    figures = f"In {domain} AP50 went from {before:.1f} to {after:.1f} ({change:+.1f})"
    if abs(change) < SEED_SPREAD:
        return (
            f"{figures}: no more than what another seed may do (about {SEED_SPREAD:.0f} points), "
            "so this run alone shows neither gain nor loss."
        )
    return f"{figures}: adaptation {'helped' if change > 0 else 'did harm'} here."


def results_table(
    models: Mapping[str, Run], clear: str, foggy: str
) -> tuple[list[str], list[list[object]]]:
    """Headers and rows of the comparison: a row for each model."""
    keys = [(f"{m} in {d}", f"{t}/bbox/{m}") for d, t in (("fog", foggy), ("clear air", clear))
            for m in ("AP", "AP50")]  # fmt: skip
    rows = [[title, *(run.final(key) for _, key in keys)] for title, run in models.items()]
    return ["detector", *(header for header, _ in keys)], rows


def class_table(models: Mapping[str, Run], test: str) -> tuple[list[str], list[list[object]]]:
    """AP of every class in fog, of all models, and how many objects there are."""
    classes = MetadataCatalog.get(test).thing_classes
    objects = [a["category_id"] for r in DatasetCatalog.get(test) for a in r["annotations"]]
    counts = np.bincount(objects, minlength=len(classes)).tolist()
    rows = [
        [label, count, *(run.final(f"{test}/bbox/AP-{label}") for run in models.values())]
        for label, count in zip(classes, counts)
    ]
    return ["class, in fog", "objects", *(f"AP {title}" for title in models)], rows


def draw_scene(
    predictors: Mapping[str, DefaultPredictor], test: str, index: int
) -> tuple[list[np.ndarray], dict[str, int]]:
    """Draw truth and detections of one picture; return these, and how many each model found."""
    metadata, record = MetadataCatalog.get(test), DatasetCatalog.get(test)[index]
    image = read_rgb(record["file_name"])
    # Boxes only: masks would hide what is beneath.
    boxes = [{k: v for k, v in a.items() if k != "segmentation"} for a in record["annotations"]]
    drawn, found = [draw_truth(image, {"annotations": boxes}, metadata, SCALE)], {}
    for title, predictor in predictors.items():
        # DefaultPredictor takes BGR whatever the model does.
        outputs = predictor(image[:, :, ::-1])
        drawn.append(draw_predictions(image, outputs, metadata, THRESHOLD, SCALE))
        found[title] = int((outputs["instances"].scores >= THRESHOLD).sum())
    return drawn, found


def busiest(dataset: str, number: int) -> list[int]:
    """Indices of the pictures with most objects."""
    counts = [-len(record["annotations"]) for record in DatasetCatalog.get(dataset)]
    return sorted(np.argsort(counts, kind="stable")[:number].tolist())
