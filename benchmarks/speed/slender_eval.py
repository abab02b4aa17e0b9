"""Evaluation by slenderness against the ordinary evaluation: time, and equality of the numbers.

    python -m benchmarks.speed.slender_eval --images 5000
    python -m benchmarks.speed.slender_eval --images 1000 --task segm

Detections are generated: half near an annotation of their class, half anywhere, 80 classes. The
ordinary evaluator (COCO's area ranges) is timed with both backends, then the slender one with the
fast backend, which gives the ordinary numbers and those of nine subsets, XS to XW; and pycocotools
asked for the same bins by exchanging area for slenderness, twice, because an object has one area
only. During inference both evaluators take the predictions of a model, and encode masks; the
slender one measures them there, which is timed on a part of the images. The annotations are
measured once for each process and file, which is timed by itself. All times are processor time of
this process, which other work on the machine moves little.
"""

from __future__ import annotations

import contextlib
import io
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import torch
from detectron2.data import MetadataCatalog
from detectron2.structures import Boxes, Instances
from pycocotools.cocoeval import COCOeval

from benchmarks.report import RESULTS, format_table, plain_parser, write_report
from drfpn_da.data.slenderness import box_aspect, file_slenderness
from drfpn_da.evaluation import FastCOCOEvaluator, SlenderCOCOEvaluator
from drfpn_da.evaluation.slender import measure_masks
from drfpn_da.evaluation.slender_bins import ASPECT_BINS, SLENDERNESS_BINS, Bin

WIDTH, HEIGHT, CLASSES = 640, 480, 80
BACKENDS = ("faster-coco-eval", "pycocotools")
# Images whose predictions are handed over as by a model: painting masks takes long.
TAKEN = 50


def generate(images: int, per_image: int, masks: bool) -> tuple[dict[str, Any], list[dict]]:
    """COCO ground truth, and the predictions that a model would have handed over."""
    rng = np.random.default_rng(0)
    truth: list[dict] = []
    predictions = []
    for image in range(1, images + 1):
        classes = rng.integers(0, CLASSES, rng.integers(1, 5))
        mine = []
        for _ in range(rng.poisson(7.3)):
            box, category = _box(rng), int(rng.choice(classes))
            mine.append((box, category))
            truth.append(
                {
                    "id": len(truth) + 1,
                    "image_id": image,
                    "category_id": category + 1,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": int(rng.random() < 0.01),
                    "segmentation": [_ellipse(box)],
                }
            )
            if truth[-1]["iscrowd"]:
                truth[-1]["segmentation"] = _encode(_ellipse(box))
        found = []
        for _ in range(per_image):
            if mine and rng.random() < 0.5:
                box, category = mine[rng.integers(len(mine))]
                x, y, w, h = box
                shift = rng.normal(0, 0.1, 4)
                box = [x + shift[0] * w, y + shift[1] * h, *(np.exp(shift[2:]) * (w, h)).tolist()]
            else:
                box, category = _box(rng), int(rng.integers(CLASSES))
            score = round(rng.random(), 3)
            found.append({"image_id": image, "category_id": category, "bbox": box, "score": score})
            if masks:
                found[-1]["segmentation"] = _encode(_ellipse(box))
        predictions.append({"image_id": image, "instances": found})
    data = {
        "info": {},
        "images": [{"id": i + 1, "width": WIDTH, "height": HEIGHT} for i in range(images)],
        "annotations": truth,
        "categories": [{"id": i + 1, "name": f"class {i}"} for i in range(CLASSES)],
    }
    return data, predictions


def _box(rng: np.random.Generator) -> list[float]:
    ratio, size = np.exp(rng.normal(0, 0.5)), np.exp(rng.normal(4, 1))
    w, h = min(size * ratio, WIDTH - 2), min(size / ratio, HEIGHT - 2)
    return [rng.uniform(0, WIDTH - w), rng.uniform(0, HEIGHT - h), w, h]


def _ellipse(box: list[float]) -> list[float]:
    x, y, w, h = box
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    points = np.stack([x + w / 2 * (1 + np.cos(angle)), y + h / 2 * (1 + np.sin(angle))], axis=1)
    return points.ravel().tolist()


def _encode(polygon: list[float]) -> dict[str, Any]:
    rle = mask_util.frPyObjects([polygon], HEIGHT, WIDTH)[0]
    return {"size": rle["size"], "counts": rle["counts"].decode()}


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Processor seconds and result, in silence."""
    with contextlib.redirect_stdout(io.StringIO()):
        start = time.process_time()
        result = function()
        return time.process_time() - start, result


def evaluate(evaluator: FastCOCOEvaluator, predictions: list[dict]) -> dict[str, Any]:
    """Evaluate predictions, which the evaluators leave as they are."""
    evaluator._predictions = predictions
    return evaluator.evaluate()


def take(evaluator: FastCOCOEvaluator, predictions: list[dict]) -> float:
    """Processor seconds to hand the evaluator what a model predicts, one image at a time."""
    evaluator.reset()
    seconds = 0.0
    for prediction in predictions:
        found = prediction["instances"]
        boxes = torch.tensor([f["bbox"] for f in found])
        instances = Instances((HEIGHT, WIDTH))
        instances.pred_boxes = Boxes(torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], dim=1))
        instances.scores = torch.tensor([f["score"] for f in found])
        instances.pred_classes = torch.tensor([f["category_id"] for f in found])
        if "segmentation" in found[0]:
            masks = mask_util.decode([f["segmentation"] for f in found]).transpose(2, 0, 1)
            instances.pred_masks = torch.from_numpy(np.ascontiguousarray(masks)).bool()
        batch = [{"image_id": prediction["image_id"]}], [{"instances": instances}]
        seconds += timed(lambda batch=batch: evaluator.process(*batch))[0]
    return seconds


def pycocotools_by_bins(evaluator: FastCOCOEvaluator, predictions: list[dict], task: str) -> dict:
    """AP by bin from pycocotools: slenderness, then aspect, in the place of area."""
    api = evaluator._coco_api
    found = [f for p in predictions for f in p["instances"]]
    results = [{k: v for k, v in f.items() if k != "bbox" or task == "bbox"} for f in found]
    for result in results:
        result["category_id"] += 1
    loaded = api.loadRes(results)
    anns = list(api.anns.values())
    path = evaluator._metadata.json_file
    truth_boxes = np.array([a["bbox"] for a in anns])
    boxes = np.array([d["bbox"] for d in loaded.anns.values()])
    aspect = box_aspect(boxes)
    slenderness = boxes[:, 2:].min(axis=1) / np.maximum(boxes[:, 2:].max(axis=1), 1e-9)
    if task == "segm":  # masks without a pixel: 0
        slenderness = np.concatenate([p["mask_measures"][:, 0] for p in predictions])
        slenderness = np.nan_to_num(slenderness)
    scores = {}
    for bins, mine, theirs in (
        (SLENDERNESS_BINS, file_slenderness(path, anns), slenderness),
        (ASPECT_BINS, box_aspect(truth_boxes), aspect),
    ):
        for items, values in ((anns, mine), (loaded.anns.values(), theirs)):
            for item, value in zip(items, values.tolist()):
                item["area"] = value
        evaluation = COCOeval(api, loaded, task)
        ranges = [Bin("", 0.0, np.inf), *bins]
        evaluation.params.areaRng = [[b.low, np.nextafter(b.high, -1)] for b in ranges]
        evaluation.evaluate()
        evaluation.accumulate()
        for a, this in enumerate(bins, start=1):
            values = evaluation.eval["precision"][:, :, :, a, -1]
            scores[f"AP-{this.name}"] = 100 * float(values[values > -1].mean())
    return scores


def main() -> None:
    """Measure and write ``benchmarks/results/slender_eval_<task>.json``."""
    parser = plain_parser(__doc__)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--per-image", type=int, default=100, help="detections")
    parser.add_argument("--rounds", type=int, default=5, help="of the fast evaluations; medians")
    parser.add_argument("--task", choices=["bbox", "segm"], default="bbox")
    args = parser.parse_args()
    data, predictions = generate(args.images, args.per_image, args.task == "segm")
    name = "slender_eval_generated"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "gt.json")
        path.write_text(json.dumps(data))
        MetadataCatalog.get(name).set(
            json_file=str(path),
            thing_dataset_id_to_contiguous_id={i + 1: i for i in range(CLASSES)},
        )

        def build(kind: type, backend: str) -> FastCOCOEvaluator:
            return timed(lambda: kind(name, (args.task,), distributed=False, backend=backend))[1]

        fast, slow = (build(FastCOCOEvaluator, backend) for backend in BACKENDS)
        anns = fast._coco_api.dataset["annotations"]
        for prediction in predictions:
            measure_masks(prediction)
        measuring = timed(lambda: file_slenderness(str(path), anns))[0]
        by_bin = build(SlenderCOCOEvaluator, BACKENDS[0])
        seconds: dict[str, list[float]] = {"ordinary": [], "slender": []}
        for _ in range(args.rounds):
            seconds["ordinary"].append(timed(lambda: evaluate(fast, predictions))[0])
            taken, results = timed(lambda: evaluate(by_bin, predictions))
            seconds["slender"].append(taken)
        ordinary, slender = (statistics.median(values) for values in seconds.values())
        some = predictions[:: max(len(predictions) // TAKEN, 1)]
        share = len(predictions) / len(some)
        taking = {kind: share * take(e, some) for kind, e in zip(seconds, (fast, by_bin))}
        ordinary_slow = timed(lambda: evaluate(slow, predictions))[0]
        bins = build(FastCOCOEvaluator, "pycocotools")
        bins_slow, reference = timed(lambda: pycocotools_by_bins(bins, predictions, args.task))

    mine = results[f"{args.task}_slender"]
    largest = max(abs(mine[key] - value) for key, value in reference.items())
    rows = [
        {
            "ordinary s": ordinary,
            "ordinary and slender s": slender,
            "x ordinary": slender / ordinary,
            "x ordinary, taking of predictions included": (slender + taking["slender"])
            / (ordinary + taking["ordinary"]),
            "pycocotools, ordinary s": ordinary_slow,
            "pycocotools, ordinary and bins s": ordinary_slow + bins_slow,
            "x faster than pycocotools": (ordinary_slow + bins_slow) / slender,
        }
    ]
    summary = {
        "slenderness of the annotations, once, s": measuring,
        "taking of the predictions during inference, from a part of them, s": taking,
        "rounds, s": seconds,
        "x ordinary by round": [b / a for a, b in zip(*seconds.values())],
        "largest difference of AP by bin": largest,
    }
    print(format_table(rows), *(f"{k}: {v}" for k, v in summary.items()), sep="\n")
    result = {"settings": vars(args), "rows": rows, **summary, "AP by bin": reference}
    write_report(RESULTS / f"slender_eval_{args.task}.json", result)


if __name__ == "__main__":
    main()
