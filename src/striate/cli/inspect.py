"""`striate inspect`: what a network holds, computes and sees, layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from striate.cli.shared import AsJson, print_json, table

if TYPE_CHECKING:
    from striate.analysis import Layer, Summary
    from striate.models import Network


def inspect(
    model: Annotated[
        str, Argument(help="Name of a network, or a run folder.", metavar="MODEL|RUN")
    ],
    input_shape: Annotated[
        str | None, Option("--input", help="CHANNELS,SIZE,... of an item, as in 3,224,224.")
    ] = None,
    rank: Annotated[
        int | None,
        Option(
            help="Spatial axes of a network by name: 1, 2 or 3; by default those of --input, or 2.",
            min=1,
            max=3,
        ),
    ] = None,
    json: AsJson = False,
    svg: Annotated[Path | None, Option(help="Draw the network into this SVG file.")] = None,
) -> int:
    """Show layers, parameters, multiply-adds and receptive fields."""
    from striate.analysis import diagram, summary
    from striate.files import check_output, write_atomic

    if svg is not None:
        check_output(svg, [model], "svg")
    shape = None if input_shape is None else parse_shape(input_shape)
    if shape is not None and rank is None and not Path(model).is_dir():
        rank = len(shape) - 1
    network = load_network(model, rank, None if shape is None else shape[0])
    found = summary(network, shape or _usual_shape(network))
    if svg is not None:
        write_atomic(svg, diagram(found).encode())
    if json:
        print_json(found.as_json())
        return 0
    print(_text(found, network))
    if svg is not None:
        print(f"drawn in {svg}")
    return 0


def load_network(name: str, rank: int | None = None, in_channels: int | None = None) -> Network:
    """The network of a run folder, or one by name without values for its weights.

    Args:
        name: A folder with a run, or one of `striate models`.
        rank: Number of spatial axes of a network by name; None is the network's own, mostly 2.
        in_channels: Number of channels of a network by name; None is the network's own, mostly 3.

    Raises:
        RunError: The folder holds no finished run.
        UnknownNameError: There is no such network.
        ArgumentError: The network takes graphs, or has not that rank.
    """
    import torch

    from striate.errors import ArgumentError
    from striate.models import create_model

    if Path(name).is_dir():
        from striate.run.run import load

        if rank is not None:
            raise ArgumentError("--rank", why="the network of a run has its own")
        network = load(name, device="cpu").model
    else:
        with torch.device("meta"):
            network = create_model(name, rank=rank, in_channels=in_channels)
    if not network.config.rank:
        raise ArgumentError(
            f"{name} takes graphs", why="what a layer sees is told of series, images and volumes"
        )
    return network


def _usual_shape(network: Network) -> tuple[int, ...]:
    config = network.config
    return (config.in_channels, *(network.preprocessing.size,) * config.rank)


def parse_shape(text: str) -> tuple[int, ...]:
    """The shape in `--input`: channels, then the size of each axis.

    Raises:
        ArgumentError: It is not understood.
    """
    from striate.errors import ArgumentError

    parts = text.replace("x", ",").split(",")
    if not 2 <= len(parts) <= 4 or not all(part.strip().isdigit() for part in parts):
        raise ArgumentError(
            f"--input {text!r}",
            why="it must be CHANNELS,SIZE,... with 1 to 3 sizes",
            fix="for example 3,224,224",
        )
    return tuple(int(part) for part in parts)


def _text(found: Summary, network: Network) -> str:
    head = (
        "layer", "kind", "output", "parameters", "as dense", "multiply-adds", "field", "jump",
        "memory",
    )  # fmt: skip
    rows = [head, *map(_row, found.layers)]
    field = _axes(found.receptive_field)
    lines = [
        table(rows),
        "",
        f"{found.name} on {_times(found.input_shape)}",
        f"  parameters       {found.parameters:,}",
        f"  multiply-adds    {found.multiply_adds:,}",
        f"  receptive field  {field} (last feature map)",
        f"  activations      {_bytes(sum(layer.memory for layer in found.layers))}",
    ]
    first = next((x for x in found.layers if x.dense_parameters and x.parameters), None)
    if first is not None:
        lines.append(
            f"  shared weights   {first.name} has {first.parameters:,} parameters; a dense layer "
            f"between the same maps would have {first.dense_parameters:,}"
        )
    return "\n".join([*lines, *(f"  note: {line}" for line in found.advice())])


def _row(layer: Layer) -> tuple[str, ...]:
    return (
        layer.name or layer.kind,
        layer.kind,
        _times(layer.output_shape),
        f"{layer.parameters:,}",
        f"{layer.dense_parameters:,}" if layer.dense_parameters else "",
        f"{layer.multiply_adds:,}",
        _axes(layer.receptive_field),
        _axes(layer.jump),
        _bytes(layer.memory),
    )


def _axes(values: tuple[Any, ...] | None) -> str:
    """A number an axis; one where they are alike."""
    if values is None:
        return "all"
    texts = ["all" if value is None else f"{value:g}" for value in values]
    return texts[0] if len(set(texts)) == 1 else "x".join(texts)


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "KB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
