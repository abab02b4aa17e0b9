"""The one place that knows how detectron2, numpy and their companions differ by release.

Everything here tests for a feature and never compares version numbers: detectron2 has said ``0.6``
since 2021, on its tag and on its main branch alike.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import logging
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Callable

import numpy as np
from PIL import Image

logger = logging.getLogger(__name__)

#: Before names of parts that another package has taken.
PREFIX = "drfpn_da_"

# --------------------------------------------------------------------------------------------------
# Cityscapes: some detectron2 trees import the scripts under a path that was never published
# --------------------------------------------------------------------------------------------------

_UNPUBLISHED = "deeplearning.projects.cityscapesApi.cityscapesscripts"
_PUBLISHED = "cityscapesscripts"


class _AliasLoader(importlib.abc.Loader):
    """Gives an already importable module a second name."""

    def __init__(self, target: str) -> None:
        self._target = target

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        try:
            self._module = importlib.import_module(self._target)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.split(".")[0] != _PUBLISHED:
                raise
            raise ModuleNotFoundError(
                f"Cityscapes data and evaluation need the package '{_PUBLISHED}' "
                f"(imported by detectron2 as '{spec.name}'): pip install {_PUBLISHED}",
                name=_PUBLISHED,
            ) from error
        self._spec = self._module.__spec__
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # the import system has just replaced it by the alias's


class _EmptyPackageLoader(importlib.abc.Loader):
    def exec_module(self, module: ModuleType) -> None:
        pass


class _CityscapesFinder(importlib.abc.MetaPathFinder):
    """Answers only for the unpublished path, and only where no ordinary finder does."""

    def find_spec(
        self, fullname: str, path: Any = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.startswith(_UNPUBLISHED + "."):
            if sys.modules.get(_UNPUBLISHED) is not sys.modules.get(_PUBLISHED):
                return None  # the unpublished package really is here
            # Ahead of the path finder, which would load a second copy of the file.
            published = _PUBLISHED + fullname[len(_UNPUBLISHED) :]
            return importlib.machinery.ModuleSpec(fullname, _AliasLoader(published))
        if not (_UNPUBLISHED + ".").startswith(fullname + "."):
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(fullname, path, target)
            if spec is not None:
                return spec
        if fullname == _UNPUBLISHED:
            return importlib.machinery.ModuleSpec(fullname, _AliasLoader(_PUBLISHED))
        return importlib.machinery.ModuleSpec(fullname, _EmptyPackageLoader(), is_package=True)


def install_cityscapes_bridge() -> None:
    """Let ``deeplearning.projects.cityscapesApi.cityscapesscripts`` mean ``cityscapesscripts``.

    Idempotent, and free until detectron2's Cityscapes modules are used: nothing is imported here.
    """
    if not any(isinstance(finder, _CityscapesFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _CityscapesFinder())


# --------------------------------------------------------------------------------------------------
# Registries
# --------------------------------------------------------------------------------------------------


def register_if_free(registry: Any) -> Callable[[Any], Any]:
    """Return a decorator that registers a part in one of detectron2's registries.

    Where another package has taken its name, the part is registered under that name with
    :data:`PREFIX` in front, and a warning says so.
    """

    def register(part: Any) -> Any:
        name = part.__name__
        if name in registry:
            logger.warning(
                "'%s' is another package's in the registry %s: drfpn_da's is '%s' there; write "
                "that name in configs that mean it",
                name,
                registry._name,
                PREFIX + name,
            )
            name = PREFIX + name
        registry._do_register(name, part)
        return part

    return register


# --------------------------------------------------------------------------------------------------
# Evaluation
# --------------------------------------------------------------------------------------------------


def has_opencv() -> bool:
    """Whether OpenCV is installed, which boundaries of label maps are found with."""
    return importlib.util.find_spec("cv2") is not None


def has_compiled_coco_eval() -> bool:
    """Whether detectron2's own compiled COCO evaluation is present."""
    from detectron2.evaluation import coco_evaluation

    return coco_evaluation.COCOeval_opt is not coco_evaluation.COCOeval


@contextlib.contextmanager
def coco_eval_class(evaluation_class: type | None) -> Iterator[None]:
    """Inside the block, detectron2's ``COCOEvaluator`` uses this class as its fast implementation.

    The evaluator takes the class from a global of its module; how it hands it on differs between
    detectron2 trees, so the global is exchanged for the duration instead. None changes nothing.
    """
    from detectron2.evaluation import coco_evaluation

    original = coco_evaluation.COCOeval_opt
    if evaluation_class is not None:
        coco_evaluation.COCOeval_opt = evaluation_class
    try:
        yield
    finally:
        coco_evaluation.COCOeval_opt = original


def load_label_map(
    filename: str, copy: bool = False, dtype: np.dtype | type | str | None = None
) -> np.ndarray:
    """Read a label PNG into an (H, W) array of class ids that may be written to.

    Usable as detectron2's ``sem_seg_loading_fn``, whose own ``np.array(image, copy=False)`` fails
    with numpy 2. ``copy`` is accepted for that signature; the result is always a copy.
    """
    from detectron2.utils.file_io import PathManager

    with PathManager.open(filename, "rb") as file:
        return np.array(Image.open(file), dtype=dtype)


@contextlib.contextmanager
def picture_reader(read: Callable[..., np.ndarray]) -> Iterator[None]:
    """Inside the block, detectron2's mappers read pictures and label maps with this function.

    They take ``read_image`` from its module and have no argument for it; it is exchanged for the
    duration, so that a mapper of the user's own reads alike.
    """
    from detectron2.data import detection_utils

    original = detection_utils.read_image
    detection_utils.read_image = read
    try:
        yield
    finally:
        detection_utils.read_image = original


# --------------------------------------------------------------------------------------------------
# Signatures
# --------------------------------------------------------------------------------------------------


def supported_kwargs(function: Callable[..., Any], **kwargs: Any) -> dict[str, Any]:
    """Return those of ``kwargs`` that ``function`` accepts, for arguments that came or went."""
    parameters = inspect.signature(function).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return kwargs
    return {name: value for name, value in kwargs.items() if name in parameters}


# --------------------------------------------------------------------------------------------------
# Training
# --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def default_trainer_parts(**parts: Any) -> Iterator[None]:
    """Inside the block, ``DefaultTrainer``'s constructor builds with other parts.

    Its constructor takes ``create_ddp_model`` and ``AMPTrainer`` from the globals of its module and
    has no factory methods for them; exchanging the globals for the duration spares a copy of it.
    """
    from detectron2.engine import defaults

    originals = {name: getattr(defaults, name) for name in parts}
    vars(defaults).update(parts)
    try:
        yield
    finally:
        vars(defaults).update(originals)


def has_event_storage() -> bool:
    """Return whether a training has opened an ``EventStorage``."""
    from detectron2.utils import events

    return bool(events._CURRENT_STORAGE_STACK)


def in_nested_storage() -> bool:
    """Return whether an ``EventStorage`` is open within that of the training."""
    from detectron2.utils import events

    return len(events._CURRENT_STORAGE_STACK) > 1


def train_loader_arguments(cfg: Any, mapper: Any = None, **given: Any) -> dict[str, Any]:
    """Return dataset, sampler, mapper and options that a config gives to the training loader."""
    from detectron2.data.build import _train_loader_from_config

    return _train_loader_from_config(cfg, mapper, **given)


def global_indices(sampler: Any) -> Iterator[int]:
    """Return a training sampler's stream before it is divided among the processes.

    detectron2's samplers divide in ``__iter__`` what ``_infinite_indices`` yields. A sampler of
    another kind is taken to be undivided.
    """
    return iter(getattr(sampler, "_infinite_indices", sampler.__iter__)())
