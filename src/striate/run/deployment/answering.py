"""A run's network with all that makes answers of its outputs, as one module for an engine's file."""

from __future__ import annotations

from typing import Any, Final, cast

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from striate.engines import Deployment
from striate.errors import EngineError
from striate.kinds.inputs import Inputs
from striate.metrics.novelty import NoveltyDetector
from striate.models import Network
from striate.nn.fuse import fold_batch_norm
from striate.run.deployment.novelty import OUTPUT, Novelty
from striate.run.opened import OpenedRun
from striate.run.predictor import averaged

EXAMPLES: Final = 2
"""Items that a network is traced with; one would be taken for a constant."""


class Answering(nn.Module):
    """From what `Inputs.inputs` gives to uncalibrated outputs, the answers, and what goes with them.

    Args:
        network: In evaluation mode.
        inputs: Normalize, and say which symmetries are averaged.
        calibration: From outputs to answers.
        promise: From outputs to what is promised of new items; None where nothing is.
        novelty: From features to how strange an item is; None where that is not known.
        features: Whether the features come last.
    """

    def __init__(
        self,
        network: Network,
        inputs: Inputs[Any],
        calibration: nn.Module,
        *,
        promise: nn.Module | None = None,
        novelty: nn.Module | None = None,
        features: bool = False,
    ) -> None:
        super().__init__()
        self.network = network
        self.calibration = calibration
        self.promise = promise
        self.novelty = novelty
        self._inputs = inputs
        self._features = features

    def forward(self, inputs: Shaped[Tensor, "n c *space"]) -> tuple[Tensor, ...]:
        """Uncalibrated outputs, probabilities or numbers, then a promise, the novelty, features."""
        described = averaged(self.network, self._inputs.views(self._inputs.normalized(inputs)))
        found = [described.outputs, self.calibration(described.outputs)]
        if self.promise is not None:
            found.append(self.promise(described.outputs))
        if self.novelty is not None:
            found.append(self.novelty(described.features))
        if self._features:
            found.append(described.features)
        return tuple(found)


def deployment_of(run: OpenedRun, *, features: bool = False) -> Deployment:
    """What an engine needs to write the run's network into a file.

    Args:
        run: Opened on the CPU.
        features: Whether the file gives the network's features, of which the run itself makes the
            novelty, in place of the promises and the novelty.

    Raises:
        EngineError: The run's inputs are not one tensor.
    """
    predictor = run.predictor
    given = predictor.inputs.exported
    if given is None:
        raise EngineError(
            f"a network of {run.kind.nouns[1]} is not exported",
            why="its input is a graph of any size, not one tensor",
            fix="use it through striate.load",
        )
    network = predictor.network
    if predictor.inputs.folds:
        network = cast("Network", fold_batch_norm(network, predictor.example))
    promise = None if features else run.calibration.promise
    detector = None if features else run.novelty_detector
    module = Answering(
        network,
        predictor.inputs,
        run.calibration.module(),
        promise=None if promise is None else promise.module(),
        novelty=None if detector is None else Novelty(detector),
        features=features,
    )
    shape = predictor.inputs.input_shape
    example = torch.zeros(EXAMPLES, *shape, dtype=given.dtype)
    outputs = [{**output, "type": "float32"} for output in run.calibration.outputs(run.classes)]
    if promise is not None:
        outputs.append(promise.output(run.classes))
    if detector is not None:
        outputs.append(_novelty_output(detector))
    card = {
        "striate": run.record.striate,
        "task": run.record.task,
        "kind": run.record.kind,
        "weights": run.record.model.sha256,
        "classes": list(run.classes),
        "input": {
            "name": given.name,
            "means": given.means,
            **given.details,
            "type": str(given.dtype).removeprefix("torch."),
            "shape": ["items", *shape],
        },
        "outputs": outputs,
    }
    return Deployment(
        module=module.eval(),
        example=example,
        input_name=given.name,
        output_names=(*(output["name"] for output in outputs), *["features"] * features),
        card=card,
    )


def _novelty_output(detector: NoveltyDetector) -> dict[str, Any]:
    """What a user of the file must know of the novelty."""
    return {
        "name": OUTPUT,
        "shape": ["items"],
        "means": "above 0: unlike all that the model learnt from; in standard deviations",
        "type": "float32",
        "false_alarms": detector.false_alarms,
        "items": detector.num_items,
    }
