"""torch's own exported programs (`.pt2`): run by torch alone, without Striate."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch
from numpy.typing import NDArray

from striate.engines.engine import ENGINES, Deployment, Engine, Session, library_errors

CARD = "striate.json"
"""Name of the card inside the file."""


class TorchExport(Engine):
    """`torch.export.load(path).module()` is the network."""

    name: ClassVar = "pt2"
    suffix: ClassVar = ".pt2"
    reader: ClassVar = "torch"

    def write(self, deployment: Deployment, path: Path) -> None:
        """See `Engine.write`."""
        card = {CARD: deployment.card_text()}
        torch.export.save(deployment.program(), path, extra_files=card)

    def load(self, path: Path) -> Session:
        """See `Engine.load`."""
        with library_errors(f"cannot read {str(path)!r}"):
            module = torch.export.load(path).module()

        def answer(inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
            with torch.inference_mode():
                return tuple(output.numpy() for output in module(torch.from_numpy(inputs)))

        return answer


ENGINES.add(TorchExport.name, TorchExport())
