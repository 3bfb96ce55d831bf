"""OpenVINO's own files (`.xml` with the weights beside it in `.bin`), for Intel's and other CPUs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from striate.engines.engine import ENGINES, Deployment, Engine, Session, library_errors
from striate.engines.onnx_file import CARD, write_onnx


class OpenVino(Engine):
    """`openvino.Core().compile_model(path)` answers."""

    name: ClassVar = "openvino"
    suffix: ClassVar = ".xml"
    reader: ClassVar = "OpenVINO"
    extra: ClassVar = "openvino"
    packages: ClassVar = ("onnx", "onnxscript", "openvino")

    def write(self, deployment: Deployment, path: Path) -> None:
        """See `Engine.write`; by way of ONNX, which keeps names and sizes."""
        import openvino

        with tempfile.TemporaryDirectory() as folder:
            onnx_path = Path(folder) / "model.onnx"
            write_onnx(deployment, onnx_path)
            with library_errors("OpenVINO cannot express the network"):
                model = openvino.Core().read_model(onnx_path)
                model.set_rt_info(deployment.card_text(), CARD)
                openvino.save_model(model, path, compress_to_fp16=False)

    def load(self, path: Path) -> Session:
        """See `Engine.load`."""
        return _session(path, "f32")

    def load_narrow(self, path: Path) -> Session:
        """See `Engine.load_narrow`."""
        return _session(path, "bf16")


def _session(path: Path, precision: str) -> Session:
    """The file in a precision by OpenVINO's name for it; by default it takes half where it can.

    Raises:
        EngineError: The file cannot be read.
    """
    import openvino

    options = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    with library_errors(f"cannot read {str(path)!r}"):
        model = openvino.Core().compile_model(path, "CPU", options)

    def answer(inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        found = model(inputs)
        return tuple(np.array(found[place]) for place in range(len(model.outputs)))

    return answer


ENGINES.add(OpenVino.name, OpenVino())
