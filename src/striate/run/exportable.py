"""A finished run as one module that answers by itself: preparation, network and calibration."""

from __future__ import annotations

from typing import Any, Final

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from striate.engines import Deployment
from striate.errors import EngineError
from striate.kinds.graph.inputs import GraphFeed
from striate.kinds.image.symmetry import views_of
from striate.metrics import Calibration
from striate.nn.fuse import fold_batch_norm
from striate.run.predictor import FeedPredictor, ImagePredictor, Predictor
from striate.run.run import Run
from striate.tasks import AnyCalibration

EXAMPLES: Final = 2
"""Items that a network is traced with; one would be taken for a constant."""


class Answering(nn.Module):
    """From inputs to uncalibrated outputs and what they mean.

    Args:
        network: in evaluation mode.
        calibration: of its outputs.
    """

    scale: Tensor
    bias: Tensor

    def __init__(self, network: nn.Module, calibration: AnyCalibration) -> None:
        super().__init__()
        self.network = network
        self.is_classifier = isinstance(calibration, Calibration)
        if isinstance(calibration, Calibration):
            scale, bias = 1 / calibration.temperature, calibration.bias or (0.0,)
        else:
            scale, bias = calibration.std, (calibration.mean,)
        self.register_buffer("scale", torch.tensor(scale))
        self.register_buffer("bias", torch.tensor(bias))

    def raw(self, inputs: Shaped[Tensor, "n c *space"]) -> Float[Tensor, "n outputs"]:
        """Uncalibrated outputs."""
        outputs: Tensor = self.network(inputs)
        return outputs

    def forward(self, inputs: Shaped[Tensor, "n c *space"]) -> tuple[Tensor, Tensor]:
        """Logits and calibrated probabilities, or standardized outputs and numbers."""
        outputs = self.raw(inputs)
        calibrated = outputs * self.scale + self.bias
        return outputs, calibrated.softmax(-1) if self.is_classifier else calibrated[:, 0]


class AnsweringForPixels(Answering):
    """The same from pixels of 0 to 255.

    Args:
        predictor: of a run on images.
    """

    def __init__(self, predictor: ImagePredictor) -> None:
        folded = fold_batch_norm(predictor.network, predictor.example)
        super().__init__(folded, predictor.calibration)
        self.preparation = predictor.network.preprocessing
        self.symmetry = predictor.symmetry

    def raw(self, inputs: Shaped[Tensor, "n c *space"]) -> Float[Tensor, "n outputs"]:
        """Uncalibrated outputs: the mean over the symmetries."""
        normalized = self.preparation.normalize(inputs)
        views = [self.network(view) for view in views_of(normalized, self.symmetry)]
        return torch.stack(views).mean(0)


def deployment_of(run: Run) -> Deployment:
    """What an engine needs to write the run's network into a file.

    Args:
        run: opened on the CPU.

    Raises:
        EngineError: the run's inputs are not one tensor.
    """
    predictor = run.predictor
    module: Answering
    if isinstance(predictor, ImagePredictor):
        side = run.image_size
        module = AnsweringForPixels(predictor)
        channels = predictor.network.config.in_channels
        example = torch.zeros(EXAMPLES, channels, side, side, dtype=torch.uint8)
        given: dict[str, Any] = {
            "name": "pixels",
            "means": f"0 to 255; the image's shorter side resized to {side}, the middle square",
        }
    elif isinstance(predictor, FeedPredictor) and not isinstance(predictor.feed, GraphFeed):
        module = Answering(predictor.network, predictor.calibration)
        example = torch.zeros(EXAMPLES, *predictor.feed.input_shape)
        given = {
            "name": "inputs",
            "means": "what the run's feed makes of an item",
            "feed": predictor.feed.to_json(),
        }
    else:
        raise EngineError(
            "a network of graphs is not exported",
            why="its input is a graph of any size, not one tensor",
            fix="use it through striate.load",
        )
    given["type"] = str(example.dtype).removeprefix("torch.")
    given["shape"] = ["items", *example.shape[1:]]
    outputs = _outputs(run, predictor)
    card = {
        "striate": run.record.striate,
        "task": run.record.task,
        "kind": run.record.kind,
        "classes": list(run.classes),
        "input": given,
        "outputs": outputs,
    }
    return Deployment(
        module=module.eval(),
        example=example,
        input_name=given["name"],
        output_names=tuple(output["name"] for output in outputs),
        card=card,
    )


def _outputs(run: Run, predictor: Predictor) -> list[dict[str, Any]]:
    numbers = run.record.numbers
    if isinstance(predictor.calibration, Calibration) or numbers is None:
        size = ["items", len(run.classes)]
        return [
            {"name": "logits", "shape": size, "means": "before calibration"},
            {"name": "probabilities", "shape": size, "means": "calibrated, by class"},
        ]
    interval = "" if numbers.half_width is None else f"; plus and minus {numbers.half_width:g}"
    return [
        {"name": "standardized", "shape": ["items", 1], "means": "the network's output"},
        {"name": "value", "shape": ["items"], "means": f"in the unit of the targets{interval}"},
    ]
