"""COCO metrics with the fastest implementation that is installed."""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib.util
import logging
from collections.abc import Iterable, Iterator
from typing import Any

from detectron2.evaluation import COCOEvaluator

from drfpn_da.compat import coco_eval_class, has_compiled_coco_eval

from .coco_truth import complete_truth, has_text_ids, measurable_tasks

logger = logging.getLogger(__name__)

COCO_BACKENDS = ("auto", "pycocotools", "faster-coco-eval")


class FastCOCOEvaluator(COCOEvaluator):
    """detectron2's ``COCOEvaluator`` with a choice of the implementation underneath.

    "auto" takes detectron2's compiled evaluation when it is built, else the package
    faster-coco-eval when it is installed, else pycocotools. All give the same numbers, of ground
    truth completed by :func:`~drfpn_da.evaluation.coco_truth.complete_truth`.
    """

    _use_fast_impl: bool

    def __init__(
        self,
        dataset_name: str,
        tasks: tuple[str, ...] | None = None,
        distributed: bool = True,
        output_dir: str | None = None,
        *,
        backend: str = "auto",
        **kwargs: Any,
    ) -> None:
        """Take what ``COCOEvaluator`` takes, and the backend.

        Raises:
            ValueError: for an unknown backend.
            ImportError: if faster-coco-eval is asked for and not installed.
        """
        use_fast, self._evaluation_class = _resolve_backend(backend)
        with coco_eval_class(self._evaluation_class):
            super().__init__(
                dataset_name, tasks, distributed, output_dir, use_fast_impl=use_fast, **kwargs
            )
        if self._do_evaluation:
            complete_truth(self._coco_api)
            if tasks is not None:
                self._tasks = measurable_tasks(self._coco_api, tasks, dataset_name)
        if self._use_fast_impl and has_text_ids(self._coco_api):
            logger.warning(
                "Ids of dataset '%s' are text: pycocotools evaluates it in place of "
                "TEST.COCO_BACKEND '%s'.",
                dataset_name,
                backend,
            )
            self._use_fast_impl, self._evaluation_class = False, None

    def _tasks_from_predictions(self, predictions: list[dict]) -> Iterable[str]:
        tasks = super()._tasks_from_predictions(predictions)
        if not self._do_evaluation:
            return tasks  # type: ignore[no-any-return]
        return measurable_tasks(self._coco_api, tasks, self._metadata.name)

    def evaluate(self, img_ids: Any = None) -> dict[str, Any]:
        """Evaluate; see ``COCOEvaluator``."""
        with _no_garbage_collection():
            return super().evaluate(img_ids)  # type: ignore[no-any-return]

    def _eval_predictions(self, predictions: list[dict], *args: Any, **kwargs: Any) -> None:
        unknown = {p["image_id"] for p in predictions} - set(self._coco_api.getImgIds())
        if unknown:
            raise ValueError(
                f"There are predictions of image {min(unknown)}, which dataset "
                f"'{self._metadata.name}' does not have: they belong to another dataset."
            )
        predictions = [
            {**p, "instances": [_Detection(found) for found in p["instances"]]}
            if "instances" in p
            else p
            for p in predictions
        ]
        with coco_eval_class(self._evaluation_class):
            super()._eval_predictions(predictions, *args, **kwargs)


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Detections are a million small dicts in no cycles: the collector would walk them in vain."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _Detection(dict):
    """A detection whose copies share what it holds.

    detectron2 copies all detections deeply before it evaluates masks, only to drop a key of each.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return dict(self)


def _resolve_backend(backend: str) -> tuple[bool, type | None]:
    """Return whether the fast path is used and, if detectron2's own is not, with which class."""
    if backend not in COCO_BACKENDS:
        raise ValueError(f"TEST.COCO_BACKEND is '{backend}'; allowed: {', '.join(COCO_BACKENDS)}.")
    if backend == "pycocotools":
        return False, None
    if backend == "auto" and has_compiled_coco_eval():
        return True, None
    if importlib.util.find_spec("faster_coco_eval") is not None:
        return True, _faster_coco_eval()
    if backend == "auto":
        return False, None
    raise ImportError(
        "TEST.COCO_BACKEND is 'faster-coco-eval', which is not installed: "
        "pip install faster-coco-eval, or set TEST.COCO_BACKEND to 'auto'."
    )


@functools.cache
def _faster_coco_eval() -> type:
    # The package can also replace pycocotools for the whole process (init_as_pycocotools); a plugin
    # must not do that to its user, so its class is used by itself.
    from faster_coco_eval import COCOeval_faster

    class FasterCOCOeval(COCOeval_faster):
        """faster-coco-eval's class on the annotation objects of pycocotools."""

        def __init__(self, coco_gt: Any, coco_dt: Any, iou_type: str) -> None:
            # Its keypoint branch reads this index under its own name, and drops categories
            # without annotations, which pycocotools keeps.
            coco_gt.cat_img_map = coco_gt.catToImgs
            super().__init__(coco_gt, coco_dt, iou_type)
            self.params.catIds = sorted(coco_gt.getCatIds())

    return FasterCOCOeval
