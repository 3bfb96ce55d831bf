"""The table of kernels in words: what each computes, where it is right and faster, and why not."""

from __future__ import annotations

import torch

from striate.depthwise.dispatch import ANY, KERNELS, TORCH, Limits, choose
from striate.depthwise.problem import OPERATORS, Problem
from striate.errors import ArgumentError
from striate.geometry import plan_windows

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def describe() -> list[dict[str, str]]:
    """One row for each kernel, torch's own last."""
    kernels = [*(kernel for _, kernel in KERNELS.items()), *TORCH.values()]
    return [
        {
            "kernel": kernel.name,
            "operator": kernel.operator,
            "limits": _limits(kernel.limits),
            "faster where": " | ".join(map(_limits, kernel.gains)) or "not measured",
            "missing": "; ".join(kernel.missing()) or "-",
        }
        for kernel in kernels
    ]


def describe_input(shape: str, kernel_size: int, stride: int, dtype: str) -> list[dict[str, str]]:
    """One row for each operator and kernel: chosen, slower, or why not.

    Args:
        shape: items, channels and sizes, as "8,96,56,56"; on the CPU, 2-D and 3-D channels last.
        kernel_size: taps along each axis.
        stride: step between outputs.
        dtype: name of the type.

    Raises:
        ArgumentError: the shape or the type cannot be read.
    """
    problem = _problem(shape, kernel_size, stride, dtype)
    rows = []
    for operator in OPERATORS:
        chosen = choose(operator, problem)
        for kernel in [*(kernel for _, kernel in KERNELS.items()), *TORCH.values()]:
            if kernel.operator == operator:
                reasons = "; ".join(kernel.unsupported_reasons(problem))
                verdict = "chosen" if kernel is chosen else reasons or "not measured to be faster"
                rows.append({"operator": operator, "kernel": kernel.name, "verdict": verdict})
    return rows


def _problem(shape: str, kernel_size: int, stride: int, dtype: str) -> Problem:
    try:
        batch, channels, *space = map(int, shape.split(","))
    except ValueError:
        batch, channels, space = 0, 0, []
    if min(batch, channels, *space, 1) < 1 or len(space) not in (1, 2, 3):
        raise ArgumentError(
            f"--input {shape}", why="it is not items,channels and 1 to 3 sizes, all positive"
        )
    if dtype not in DTYPES:
        raise ArgumentError(f"--dtype {dtype}", fix=f"choose one of {', '.join(DTYPES)}")
    return Problem(
        batch=batch,
        channels=channels,
        space=tuple(space),
        windows=plan_windows(space, kernel_size, stride=stride, padding="same"),
        dtype=DTYPES[dtype],
        channels_last=len(space) > 1,
    )


def _limits(limits: Limits) -> str:
    """Limits in words: `2-D, cpu, bfloat16, 5+ taps`."""
    words = [f"{rank}-D" for rank in limits.ranks]
    words += [*limits.device_types, *(str(dtype).removeprefix("torch.") for dtype in limits.dtypes)]
    for name, (low, high) in (
        ("taps", limits.taps),
        ("outputs", limits.outputs),
        ("stride", limits.strides),
    ):
        if high < ANY:
            words.append(f"{name} {low}" if low == high else f"{name} {low} to {high}")
        elif low > 1:
            words.append(f"{name} {low}+")
    if limits.dilation < ANY:
        words.append(f"dilation to {limits.dilation}")
    if limits.channels_last is not None:
        words.append("channels last" if limits.channels_last else "contiguous")
    if limits.native is not None:
        words.append("where the processor has " + ("" if limits.native else "no ") + "instructions")
    if limits.vectors is not None:
        words.append(f"where vector instructions are {limits.vectors}")
    return " ".join(words) or "any"
