"""Export a model and compare it with the original: the work of ``drfpn-da export``."""

from __future__ import annotations

import argparse
import logging
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from detectron2.export import TracingAdapter
from detectron2.modeling import GeneralizedRCNN
from tabulate import tabulate
from torch import Tensor, nn

from ..checkpoint import load_model
from ..config import setup_cfg
from ..modeling import AdaptiveModel
from ..visualization import save_new

# Bilinear sampling, which the spatial refinement block uses, is in ONNX from 16 on.
OPSET = 17
# Largest difference, relative to the largest value, that passes.
TOLERANCE = 1e-4
# Verdict on an output that has no values.
EMPTY = "NOT COMPARED (empty)"

Function = Callable[[Tensor], Sequence[Tensor]]


class Backbone(nn.Module):
    """A backbone that returns its levels as a tuple, finest first."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.names = list(backbone.output_shape())

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Map (1, 3, H, W), normalised, to features in the order of ``names``."""
        features = self.backbone(image)
        return tuple(features[name] for name in self.names)


def backbone_part(model: nn.Module, size: tuple[int, int]) -> tuple[nn.Module, list[Tensor], list]:
    """Return the module to trace, two inputs and the names of the outputs."""
    part = Backbone(model.backbone)
    return part, [torch.randn(1, 3, *size) for _ in range(2)], part.names


def detector_part(model: nn.Module, size: tuple[int, int]) -> tuple[nn.Module, list[Tensor], list]:
    """Like :func:`backbone_part`, for the whole model: picture in, flattened predictions out."""
    images = [torch.randint(0, 256, (3, *size)).float() for _ in range(2)]
    inference = _rcnn_inference if type(model) is GeneralizedRCNN else None
    adapter = TracingAdapter(model, [{"image": images[0]}], inference)
    with torch.no_grad():
        outputs = adapter(images[0])
    return adapter, images, [f"output{i}" for i in range(len(outputs))]


def _rcnn_inference(model: GeneralizedRCNN, inputs: list[dict]) -> list[dict]:
    # Without rescaling to the original size, which a fixed input size makes pointless.
    return [{"instances": model.inference(inputs, do_postprocess=False)[0]}]


def to_torchscript(part: nn.Module, image: Tensor, names: list[str], target: Path) -> Function:
    """Trace, write, read back."""
    traced = torch.jit.trace(part, (image,), check_trace=False)
    return torch.jit.load(str(save_new(target, traced.save)))


def to_onnx(part: nn.Module, image: Tensor, names: list[str], target: Path) -> Function:
    """Export, write, and load with onnxruntime."""
    try:
        import onnx  # noqa: F401  used by torch.onnx
        import onnxruntime
    except ImportError as error:
        raise SystemExit(f"ONNX needs {error.name}: pip install onnx onnxruntime") from error

    def write(filename: str) -> None:
        options = {"opset_version": OPSET, "input_names": ["image"], "output_names": names}
        torch.onnx.export(part, (image,), filename, dynamo=False, **options)

    session = onnxruntime.InferenceSession(
        str(save_new(target, write)), providers=["CPUExecutionProvider"]
    )
    return lambda x: [torch.from_numpy(y) for y in session.run(None, {"image": x.numpy()})]


def compare(original: Function, exported: Function, image: Tensor, names: list[str]) -> list[list]:
    """Rows of output, shape, largest absolute difference, verdict; :data:`EMPTY` without values."""
    with torch.no_grad():
        expected, actual = original(image), exported(image)
    rows = []
    for name, a, b in zip(names, expected, actual):
        if a.shape != b.shape:
            rows.append([name, f"{tuple(a.shape)} became {tuple(b.shape)}", float("nan"), "FAILED"])
            continue
        if not a.numel():
            rows.append([name, str(tuple(a.shape)), float("nan"), EMPTY])
            continue
        difference = float((a.double() - b.double()).abs().max())
        scale = max(float(a.double().abs().max()), 1.0)
        verdict = "equal" if difference <= TOLERANCE * scale else "FAILED"
        rows.append([name, str(tuple(a.shape)), difference, verdict])
    return rows


PARTS = {"backbone": backbone_part, "detector": detector_part}
FORMATS = {"torchscript": (to_torchscript, ".ts"), "onnx": (to_onnx, ".onnx")}


def run(args: argparse.Namespace) -> list[list]:
    """Do the work; return the rows of the comparison. Exits with an error if one fails."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    # Tracing warns of every size it takes as constant, which is what a fixed size means.
    warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
    args.opts = [*args.opts, "MODEL.DEVICE", "cpu"]
    cfg = setup_cfg(args)
    model = load_model(cfg, part="backbone." if args.part == "backbone" else "")
    if isinstance(model, AdaptiveModel):
        model = model.plain_detector()
    torch.manual_seed(0)
    part, (traced_on, unseen), names = PARTS[args.part](model, tuple(args.size))
    export, suffix = FORMATS[args.format]
    target = Path(args.output) / f"{Path(args.config_file).stem}-{args.part}{suffix}"
    with torch.no_grad():
        exported = export(part.eval(), traced_on, names, target)
    rows = compare(part, exported, unseen, names)
    print(tabulate(rows, ["output", "shape", "difference", "result"], "github"))
    print(f"written to {target.parent}")
    empty = [row[0] for row in rows if row[-1] == EMPTY]
    if empty:
        print(
            f"Nothing was compared of {', '.join(empty)}: the model finds nothing in the picture. "
            "To compare, export once more with a lower threshold, such as "
            "MODEL.ROI_HEADS.SCORE_THRESH_TEST 0.0, and another --output"
        )
    if any(row[-1] == "FAILED" for row in rows):
        raise SystemExit("The exported model differs from the original.")
    return rows
