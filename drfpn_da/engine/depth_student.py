"""Uncertainty for the choice of images to annotate, by a student trained in each cycle."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from detectron2.evaluation import inference_context
from torch import Tensor

from ..data.disparity import find_disparity, read_disparity
from ..data.pictures import build_picture_loader
from ..functional import normalize_disparity
from ..labels.uncertainty import student_error
from .trainer import Trainer

logger = logging.getLogger(__name__)


class StudentUncertainty:
    """Trains a depth network on the teacher's disparity of the selected images.

    An :data:`drfpn_da.labels.selection.Uncertainty`. The student of the n-th call trains n times
    ``SOLVER.MAX_ITER``, as published, from the config's weights; the error of its disparity of each
    picture of the pool is its uncertainty.

    Args:
        cfg: of a DepthStudent; its data sets are not used.
        records: of the pool, in the order of the indices.
        teacher: folder that ``drfpn-da depth`` wrote of the pool.
        output: folder, new or empty, for a folder per cycle.

    Raises:
        FileExistsError: ``output`` holds something.
        ValueError: another meta-architecture.
    """

    def __init__(
        self, cfg: CfgNode, records: Sequence[dict[str, Any]], teacher: Path, output: Path
    ) -> None:
        if cfg.MODEL.META_ARCHITECTURE != "DepthStudent":
            raise ValueError(
                f"the student's MODEL.META_ARCHITECTURE is '{cfg.MODEL.META_ARCHITECTURE}'; write "
                "DepthStudent, as depth/streets/student_mobilenetv2_mini.yaml does"
            )
        if output.exists() and any(output.iterdir()):
            raise FileExistsError(f"{output} holds other students; remove it, or write elsewhere")
        self._cfg, self._records = cfg, list(records)
        self._teacher, self._output = teacher, output
        self._cycle = 0
        self._pool = f"pool of {output.resolve()}"
        if self._pool not in DatasetCatalog.list():
            DatasetCatalog.register(self._pool, lambda: self._records)

    def __call__(self, selected: Sequence[int]) -> Tensor:
        """Return the (N,) uncertainties of the pool after training on the selected."""
        self._cycle += 1
        folder = self._output / f"cycle{self._cycle}"
        folder.mkdir(parents=True)
        names = [self._records[i]["file_name"] for i in selected]
        (folder / "selected.json").write_text(json.dumps(names, indent=1) + "\n")
        cfg = self._cfg.clone()
        cfg.defrost()
        cfg.OUTPUT_DIR = str(folder)
        cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = (self._pool,), ()
        cfg.DATASETS.LABELLED.FILE = str(folder / "selected.json")
        cfg.DATASETS.LABELLED.COUNT = 0
        cfg.INPUT.DISPARITY.ROOT = str(self._teacher)
        solver = cfg.SOLVER
        solver.MAX_ITER *= self._cycle
        solver.STEPS = tuple(self._cycle * step for step in solver.STEPS)
        cfg.freeze()
        logger.info(
            "cycle %d: a student of %d pictures, %d iterations",
            self._cycle,
            len(names),
            solver.MAX_ITER,
        )
        trainer = Trainer(cfg)
        trainer.resume_or_load(resume=False)
        trainer.train()
        return self._errors(trainer.model)

    def _errors(self, model: Any) -> Tensor:
        loader = build_picture_loader(self._cfg, self._records, self._cfg.DATALOADER.NUM_WORKERS)
        errors = []
        with inference_context(model), torch.no_grad():
            for inputs in loader:
                record = inputs[0]
                stored = read_disparity(find_disparity(record, str(self._teacher)))
                teacher = normalize_disparity(torch.from_numpy(stored)[None])
                student = model(inputs)[0]["disparity"].cpu()[None]
                if student.shape != teacher.shape:
                    raise ValueError(
                        f"the teacher's disparity of {record['file_name']} below {self._teacher} "
                        f"is {tuple(teacher.shape[1:])}, the student's {tuple(student.shape[1:])}: "
                        "write it anew with drfpn-da depth"
                    )
                errors.append(student_error(teacher, student))
        return torch.cat(errors)
