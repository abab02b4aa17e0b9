"""Count what a model is made of: the work of ``drfpn-da analyze``."""

from __future__ import annotations

import argparse
import logging
import re
from collections import Counter
from typing import Any

import torch
from detectron2.config import LazyConfig, instantiate
from detectron2.modeling import build_model
from detectron2.utils.analysis import (
    FlopCountAnalysis,
    activation_count_operators,
    parameter_count,
)
from tabulate import tabulate
from torch import nn

from ..checkpoint import PredictionCheckpointer
from ..config import setup_cfg
from ..config.safe_yaml import load_lazy_config


def load_model(args: argparse.Namespace) -> tuple[nn.Module, tuple[int, int]]:
    """Build the model on the CPU, in evaluation mode, and return it with its usual input size."""
    if args.config_file.endswith(".py"):
        cfg = LazyConfig.apply_overrides(load_lazy_config(args.config_file), args.opts)
        return instantiate(cfg.model).eval(), (800, 1333)
    args.opts = [*args.opts, "MODEL.DEVICE", "cpu"]
    cfg = setup_cfg(args)
    model = build_model(cfg).eval()
    if args.load_weights:
        PredictionCheckpointer(model).load(cfg.MODEL.WEIGHTS)
    short, limit = cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST
    return model, (short, min(limit, round(short * 4 / 3)))


def part_of(name: str) -> str:
    """Return the part that a parameter or module belongs to, or "" for what is above the parts.

    A pyramid is divided into its bottom-up network and the kinds of its other children, level
    numbers left out; everything else by its first two names.
    """
    names = name.split(".")
    if names[0] == "backbone":
        if len(names) == 1:
            return ""
        kind = re.sub(r"\d+$", "", names[1])
        return "bottom_up" if kind == "bottom_up" else f"neck {kind}"
    return f"heads {'.'.join(names[:2])}"


def parts_table(model: nn.Module, inputs: list[dict] | None) -> list[list[Any]]:
    """Rows of part, parameters, and multiply-adds if inputs are given; totals last."""
    parameters: Counter[str] = Counter()
    for name, parameter in model.named_parameters():
        parameters[part_of(name)] += parameter.numel()
    flops: Counter[str] = Counter()
    if inputs is not None:
        analysis = count_flops(model, inputs)
        by_module = {
            name[len("model.") :].removeprefix("detector."): count
            for name, count in analysis.by_module().items()
        }
        children = [*model.named_children(), *getattr(model, "detector", model).named_children()]
        depth = {name: 2 for name, child in children if any(child.children())}
        for name, count in by_module.items():
            if name and name.count(".") + 1 == depth.get(name.split(".")[0], 1):
                flops[part_of(name)] += count
        flops["in no part"] = analysis.total() - sum(flops.values())
    rows: list[list[Any]] = []
    for part in dict.fromkeys([*parameters, *flops]):
        if parameters[part] or flops[part]:
            rows.append([part, parameters[part], flops[part] / 1e9])
    necks = [row for row in rows if row[0].startswith("neck")]
    rows.append(["neck, all", *(sum(row[i] for row in necks) for i in (1, 2))])
    rows.append(["model", sum(parameters.values()), sum(flops.values()) / 1e9])
    return rows if inputs is not None else [row[:2] for row in rows]


def count_flops(model: nn.Module, inputs: list[dict]) -> FlopCountAnalysis:
    """Count multiply-adds, silent about operators that have none to count."""
    analysis = FlopCountAnalysis(model, inputs)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return analysis


def run(args: argparse.Namespace) -> list[list[Any]]:
    """Do the work; return the rows of the table of parts (empty if not asked for)."""
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    model, size = load_model(args)
    size = tuple(args.input_size or size)
    torch.manual_seed(0)
    inputs = [{"image": torch.randint(0, 256, (3, *size)).float()}]
    rows = []
    if "structure" in args.tasks:
        print(model)
    if {"parameter", "flop"} & set(args.tasks):
        with_flops = "flop" in args.tasks
        rows = parts_table(model, inputs if with_flops else None)
        headers = ["part", "parameters", "GMACs"] if with_flops else ["part", "parameters"]
        print(tabulate(rows, headers, "github", floatfmt=".3f", intfmt=","))
        print(f"{parameter_count(model)['']:,} parameters", end="")
        print(f"; multiply-adds for one picture of {size[0]}x{size[1]}" if with_flops else "")
    if "activation" in args.tasks:
        counts = activation_count_operators(model, inputs)
        print(
            tabulate([[k, v] for k, v in counts.items()], ["operator", "M activations"], "github")
        )
    return rows
