"""PASCAL VOC metrics, both definitions under their own names."""

from __future__ import annotations

from collections import OrderedDict

from detectron2.evaluation import PascalVOCDetectionEvaluator


class PascalVOCEvaluator(PascalVOCDetectionEvaluator):
    """Average precision by the 11-point rule (VOC 2007) and by the full curve (VOC 2010 and later).

    detectron2 chooses one by the dataset's year and calls both ``AP``. Here ``AP``, ``AP50`` and
    ``AP75`` stay what detectron2 reports, and each definition is given by name as well:
    ``AP50-voc07`` is the usual number of papers on VOC 2007, ``AP50-voc10`` that of VOC 2012.
    """

    _is_2007: bool

    def evaluate(self) -> OrderedDict | None:
        """Return ``{"bbox": {metric: percent}}`` on the main process, None on the others."""
        own_year = self._is_2007
        by_rule = {}
        try:
            for rule, is_2007 in (("voc07", True), ("voc10", False)):
                self._is_2007 = is_2007
                by_rule[is_2007] = (rule, super().evaluate())
        finally:
            self._is_2007 = own_year
        if by_rule[own_year][1] is None:
            return None
        metrics = dict(by_rule[own_year][1]["bbox"])
        for rule, result in by_rule.values():
            metrics.update({f"{name}-{rule}": value for name, value in result["bbox"].items()})
        return OrderedDict(bbox=metrics)
