"""Named features of a detector, recorded while it runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Callable, Optional

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import Backbone
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..functional import valid_cells

# Side of the blank picture that finds out what a module gives.
_PROBE_SIZE = 128


@contextlib.contextmanager
def evaluating(model: nn.Module, batch_statistics: bool = False) -> Iterator[None]:
    """Inside the block the model is in evaluation mode; then each module is as it was.

    Args:
        model: any.
        batch_statistics: leave batch norms as they are.
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    if batch_statistics:
        for module, mode in modes.items():
            module.training = mode and isinstance(module, _BatchNorm)
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def find_backbone(detector: nn.Module) -> nn.Module:
    """Return a detector's ``backbone``, else its one outermost detectron2 ``Backbone``.

    Raises:
        ValueError: there is none, or there are several.
    """
    backbone = getattr(detector, "backbone", None)
    if isinstance(backbone, nn.Module) and hasattr(backbone, "output_shape"):
        return backbone
    found: dict[str, nn.Module] = {}
    for path, module in detector.named_modules():
        inside = any(path.startswith(f"{outer}.") for outer in found)
        if isinstance(module, Backbone) and not inside:
            found[path] = module
    if len(found) == 1:
        return found.popitem()[1]
    raise ValueError(
        f"features of {type(detector).__name__} cannot be tapped: it has no detectron2 `backbone` "
        "with output_shape(), and in its other modules "
        + (f"there are several Backbones, {sorted(found)}" if found else "there is no Backbone")
        + ": give the detector an attribute `backbone`"
    )


class Recording(dict[str, Tensor]):
    """Features of one pass by name, each (N, C, H, W).

    Attributes:
        image_sizes: (height, width) of the pictures without padding; None if not told.
        cache: what consumers compute once per pass.
    """

    def __init__(
        self, strides: dict[str, int], image_sizes: Optional[Sequence[tuple[int, int]]] = None
    ) -> None:
        super().__init__()
        self.image_sizes = image_sizes
        self.cache: dict[str, Any] = {}
        self._strides = strides

    def mask(self, name: str) -> Optional[Tensor]:
        """Return the (N, 1, H, W) mask of cells that lie on pictures, None if all do."""
        if self.image_sizes is None:
            return None
        return valid_cells(self.image_sizes, self._strides[name], self[name])


class _AllRecorded(Exception):
    """Every required feature is there: the rest of the pass is not needed."""


class _Recorder:
    """Forward hook that puts some outputs of one module into the current recording."""

    def __init__(self, taps: FeatureTaps) -> None:
        self.taps = taps
        self.keys: dict[str, Optional[str]] = {}

    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> None:
        recording = self.taps.current
        if recording is not None:
            for name, key in self.keys.items():
                feature = output if key is None else output[key]
                last = name in self.taps.channels_last
                recording[name] = feature.permute(0, 3, 1, 2) if last else feature
            if self.taps.stops_early and recording.keys() >= self.taps.required:
                raise _AllRecorded


class FeatureTaps:
    """Features that can be tapped from a detector, by name.

    Names are the outputs of the backbone and of its ``bottom_up`` (``p3``, ``res4``), stages
    of either that are not outputs (``res2`` of a C4 ResNet), and paths of modules that return one
    map (``backbone.bottom_up.res3.0``), as (N, C, H, W) or, in transformers, (N, H, W, C); all are
    recorded as (N, C, H, W). Hooks do nothing outside :meth:`record`.

    Args:
        detector: any module with a detectron2 backbone; see :func:`find_backbone`.

    Attributes:
        backbone: of the detector.
        shapes: name -> ShapeSpec with channels and stride, of everything but module paths.
        channels_last: names of features whose modules return (N, H, W, C).
        current: recording of the pass in progress, or None.
        stops_early: the pass in progress ends with the last required feature.

    Raises:
        ValueError: the detector has no detectron2 backbone, or several.
    """

    def __init__(self, detector: nn.Module) -> None:
        self._detector = detector
        self.backbone = backbone = find_backbone(detector)
        self._places: dict[str, tuple[nn.Module, Optional[str]]] = {}
        self._recorders: dict[nn.Module, _Recorder] = {}
        self._strides: dict[str, int] = {}
        self.shapes: dict[str, ShapeSpec] = {}
        self.channels_last: set[str] = set()
        self.current: Optional[Recording] = None
        self.stops_early = False
        bodies = [self.backbone]
        if isinstance(getattr(backbone, "bottom_up", None), nn.Module):
            bodies.append(backbone.bottom_up)  # type: ignore[arg-type]
        for body in bodies:
            for name, spec in body.output_shape().items():  # type: ignore[operator]
                self._add(name, body, name, spec)
        for body in bodies:
            self._add_inner_stages(body)

    def _add(self, name: str, module: nn.Module, key: Optional[str], spec: ShapeSpec) -> None:
        if name not in self.shapes:
            self.shapes[name] = spec
            self._places[name] = (module, key)

    def _add_inner_stages(self, body: nn.Module) -> None:
        """Add the stages that detectron2's bodies know the shape of, outputs or not."""
        children = dict(body.named_children())
        strides = getattr(body, "_out_feature_strides", {})
        for name, channels in getattr(body, "_out_feature_channels", {}).items():
            if name in children and name in strides:
                spec = ShapeSpec(channels=channels, stride=strides[name])
                self._add(name, children[name], None, spec)

    def shape(self, name: str) -> ShapeSpec:
        """Return channels and stride of a feature.

        Raises:
            KeyError: there is no such feature; the message lists those that exist.
            ValueError: the module at that path does not return one map that grows with the picture.
        """
        if name not in self.shapes:
            modules = dict(self._detector.named_modules())
            if name not in modules or not name:
                raise KeyError(f"unknown feature '{name}'; this detector has {self.describe()}")
            spec = self._measure(name, modules[name])
            self._add(name, modules[name], None, spec)
        return self.shapes[name]

    def describe(self) -> str:
        """Return every named feature with channels and stride, for messages."""
        parts = (f"{n} ({s.channels} channels, stride {s.stride})" for n, s in self.shapes.items())
        return ", ".join(parts) + ", or the path of a module of the backbone"

    def require(self, names: Iterable[str]) -> None:
        """Record these features from now on; see :meth:`shape` for the errors."""
        for name in names:
            spec = self.shape(name)
            module, key = self._places[name]
            if module not in self._recorders:
                self._recorders[module] = _Recorder(self)
                module.register_forward_hook(self._recorders[module])
            self._recorders[module].keys[name] = key
            self._strides[name] = spec.stride or 1

    @property
    def required(self) -> set[str]:
        """Names of the features that are recorded."""
        return set(self._strides)

    def collect(
        self,
        run: Callable[[], Any],
        image_sizes: Optional[Sequence[tuple[int, int]]] = None,
    ) -> Recording:
        """Return the required features of a pass that ends as soon as they are all there.

        Layers behind the last of them are not run: no time, and no statistics of batch norms.

        Args:
            run: runs the backbone.
            image_sizes: as for :meth:`record`.
        """
        self.stops_early = True
        try:
            with self.record(image_sizes) as features, contextlib.suppress(_AllRecorded):
                run()
        finally:
            self.stops_early = False
        return features

    @contextlib.contextmanager
    def record(
        self, image_sizes: Optional[Sequence[tuple[int, int]]] = None
    ) -> Iterator[Recording]:
        """Inside the block, required features of every pass go into the recording given out.

        Args:
            image_sizes: (height, width) of the pictures without padding, for masks.
        """
        outer, self.current = self.current, Recording(self._strides, image_sizes)
        try:
            yield self.current
        finally:
            self.current = outer

    def without_trainable_parameters(self) -> list[str]:
        """Return the required features on which no trainable parameter acts.

        Found by running the backbone on a blank picture; the model's state and random numbers stay
        as they are. A backbone that cannot run on its device now passes unchecked.
        """
        with self.record() as features:
            if self._run_blank() is None:
                return []
        return [name for name, feature in features.items() if not feature.requires_grad]

    def _measure(self, name: str, module: nn.Module) -> ShapeSpec:
        """Return channels and stride of what a module gives for pictures of two sizes.

        One size would not tell the axis of the channels.
        """
        sides, outputs = [], []
        handle = module.register_forward_hook(lambda _m, _i, output: outputs.append(output))
        try:
            for factor in (1, 2):
                sides.append(self._run_blank(factor))
        finally:
            handle.remove()
        if None not in sides and len(outputs) == 2:
            for axis in (1, 3):
                stride = _stride_of_maps(outputs, sides, axis)
                if stride:
                    self.channels_last |= {name} if axis == 3 else set()
                    return ShapeSpec(outputs[0].shape[axis], stride=stride)
        found = [tuple(one.shape) if isinstance(one, Tensor) else type(one) for one in outputs]
        raise ValueError(
            f"feature '{name}': the module is not run once by the backbone or does not return one "
            f"(N, C, H, W) or (N, H, W, C) map that grows with the picture (for pictures of "
            f"{sides} pixels: {found}); use one of {self.describe()}"
        )

    def _run_blank(self, factor: int = 1) -> Optional[int]:
        """Run the backbone in evaluation mode on zeros; return the side, None if it cannot run."""
        divisor = getattr(self.backbone, "size_divisibility", 0) or 1
        size = -(-_PROBE_SIZE // divisor) * divisor * factor
        parameter = next(self.backbone.parameters())
        channels = getattr(self._detector, "pixel_mean", torch.zeros(3)).numel()
        try:
            with evaluating(self.backbone), torch.enable_grad():
                self.backbone(parameter.new_zeros(1, channels, size, size))
        except (AssertionError, NotImplementedError, RuntimeError):
            # For example a GPU-only layer while the model is on the CPU, or pictures of one size.
            return None
        return size


def _stride_of_maps(outputs: Sequence[Any], sides: Sequence[Any], axis: int) -> int:
    """Return the stride of two maps of one picture each; 0 if they have no channels on the axis.

    Args:
        outputs: of pictures of two sizes.
        sides: of the pictures, in pixels.
        axis: on which the channels may be; the maps must grow with the picture on the other two.
    """
    if any(not isinstance(one, Tensor) or one.dim() != 4 or len(one) != 1 for one in outputs):
        return 0
    small, large = (list(one.shape[1:]) for one in outputs)
    if small.pop(axis - 1) != large.pop(axis - 1):
        return 0
    more = sides[1] - sides[0]
    # Of the growth: padding and borders add the same to both.
    strides = {round(more / (b - a)) if b > a else 0 for a, b in zip(small, large)}
    return strides.pop() if len(strides) == 1 else 0
