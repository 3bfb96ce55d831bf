"""ONNX files, read by ONNX Runtime and by most other engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch
from numpy.typing import NDArray

from striate.engines.engine import ENGINES, Deployment, Engine, Session, library_errors
from striate.engines.onnx_file import write_onnx


class OnnxRuntime(Engine):
    """`onnxruntime.InferenceSession(path)` answers; the metadata hold the card."""

    name: ClassVar = "onnx"
    suffix: ClassVar = ".onnx"
    reader: ClassVar = "ONNX Runtime"
    extra: ClassVar = "onnx"
    takes_pictures: ClassVar = True
    packages: ClassVar = ("onnx", "onnxscript", "onnxruntime")

    def write(self, deployment: Deployment, path: Path) -> None:
        """See `Engine.write`."""
        write_onnx(deployment, path)

    def load(self, path: Path) -> Session:
        """See `Engine.load`."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Threads that wait for each other would keep cores busy that decoding processes need: beside
        # other work a network took 1.6 times the processor time and more by the clock.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        with library_errors(f"cannot read {str(path)!r}"):
            session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        name = session.get_inputs()[0].name

        def answer(inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
            return tuple(session.run(None, {name: inputs}))

        return answer


ENGINES.add(OnnxRuntime.name, OnnxRuntime())
