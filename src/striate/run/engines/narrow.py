"""torch as one of the engines, and engines in bfloat16, which answer where the answers stay the same.

In bfloat16 a processor with instructions for it is faster, and each number has 8 bits in place of 24.
Whether a run's answers bear that is seen on its items: the classes must be the same and the
probabilities as near as a file's for another engine must be (`striate.run.deployment.check`), and so
must the novelty, which follows from features. Many networks do not bear it.
"""

from __future__ import annotations

from collections.abc import Callable
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
from striate.run.engines.files import EngineFile
from striate.run.opened import OpenedRun
from striate.run.predictor import averaged
from striate.transfer.features import prepare

TORCH: Final = "torch"

BFLOAT16: Final = " bfloat16"
"""What follows an engine's name where it computes in bfloat16."""

NARROW: Final = (TORCH + BFLOAT16, "openvino" + BFLOAT16)


def suiting(run: OpenedRun) -> tuple[str, ...]:
    """Those of `NARROW` that are fast here, and that the run's network can be made ready for."""
    if not run.predictor.inputs.folds:
        return ()
    devices = (run.device.type, "cpu")
    pairs = zip(NARROW, devices, strict=True)
    return tuple(name for name, device in pairs if fast_dtype(device) == torch.bfloat16)


def narrow_session(run: OpenedRun, name: str, progress: Progress) -> Session:
    """One of `NARROW`, ready to answer: outputs, answers, features.

    Args:
        run: The run.
        name: The name.
        progress: Told of the work.

    Raises:
        EngineError: The engine cannot take the network.
        MissingExtraError: The engine is not installed.
        StorageError: The cache cannot be written.
    """
    engine = name.removesuffix(BFLOAT16)
    if engine == TORCH:
        return torch_session(run, torch.bfloat16)
    file = EngineFile.of(run, engine)
    file.session(progress)  # it must answer as torch does in float32 first
    return file.engine.load_narrow(file.path)


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


def compared(
    session: Callable[[], Session], run: OpenedRun, example: torch.Tensor, progress: Progress
) -> Check:
    """How a session's answers, and the novelty by its features, compare with those in float32.

    Args:
        session: Makes the session, which gives outputs, answers and features.
        run: The run.
        example: Inputs of a few items.
        progress: Told of the work.

    Raises:
        EngineError: The run's test items cannot be read; noise tells too little of rounding.
    """
    detector, answer = run.novelty_detector, session()

    def judged(given: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        outputs, answers, features = answer(given)
        return outputs, answers, *(() if detector is None else (detector.novelty(features),))

    beside = () if detector is None else (OUTPUT,)
    found = compare_answers(judged, run, example, progress, beside)
    if found.items != TEST_ITEMS:
        raise EngineError(
            "bfloat16 is not used", why="the test items, on which it is compared, cannot be read"
        )
    return found
