"""torch as one of the engines: in float32, and in bfloat16 where its answers stay the same.

In bfloat16 a processor with instructions for it is faster, and each number has 8 bits in place of 24.
Whether a run's answers bear that is seen on its items: the classes must be the same and the
probabilities as near as a file's for another engine must be (`striate.run.deployment.check`), and so
must the novelty, which follows from features. Many networks do not bear it.
"""

from __future__ import annotations

from typing import Any, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray

from striate.device import fast_dtype
from striate.engines import Session
from striate.errors import EngineError
from striate.models import Network
from striate.nn.layout import channels_last, placed
from striate.progress import Progress
from striate.run.deployment.check import TEST_ITEMS, Check, compare_answers
from striate.run.deployment.novelty import OUTPUT
from striate.run.opened import OpenedRun
from striate.run.predictor import averaged
from striate.transfer.features import prepare

NARROW: Final = "torch bfloat16"


def suits(run: OpenedRun) -> bool:
    """Whether bfloat16 is fast here, and the run's network can be made ready for it."""
    return run.predictor.inputs.folds and fast_dtype(run.device.type) == torch.bfloat16


def torch_session(run: OpenedRun, dtype: torch.dtype) -> Session:
    """torch itself, as other engines are called: outputs, answers, features.

    Args:
        run: The run.
        dtype: Precision of the network.
    """
    predictor = run.predictor
    inputs = predictor.inputs
    ready = None if dtype == torch.float32 else prepare(predictor.network, predictor.example, dtype)

    def answer(given: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
        tensor = torch.from_numpy(given)
        with torch.inference_mode():
            if ready is None:
                described = predictor.described(tensor)
            else:
                views = inputs.views(inputs.normalized(placed(tensor, run.device)))
                narrow = (channels_last(view.to(dtype)) for view in views)
                described = averaged(cast("Network", ready), narrow)
            found = described.first(len(given))
        outputs = found.outputs.numpy()
        return outputs, run.calibration.answers(outputs), found.features.numpy()

    return answer


def compared(session: Session, run: OpenedRun, example: torch.Tensor, progress: Progress) -> Check:
    """How a session's answers, and the novelty by its features, compare with those in float32.

    Args:
        session: Gives outputs, answers and features.
        run: The run.
        example: Inputs of a few items.
        progress: Told of the work.

    Raises:
        EngineError: The run's test items cannot be read; noise tells too little of rounding.
    """
    detector = run.novelty_detector

    def judged(given: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        outputs, answers, features = session(given)
        return outputs, answers, *(() if detector is None else (detector.novelty(features),))

    beside = () if detector is None else (OUTPUT,)
    found = compare_answers(judged, run, example, progress, beside)
    if found.items != TEST_ITEMS:
        raise EngineError(
            f"{NARROW} is not used", why="the test items, on which it is compared, cannot be read"
        )
    return found
