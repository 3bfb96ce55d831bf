import pytest
import torch
from tests.device.pretended_gpu import pretended_gpu


@pytest.fixture(scope="module")
def gpu():
    """A GPU: the machine's own, or where there is none a pretended one."""
    if torch.cuda.is_available():
        yield torch.device("cuda", 0)
        return
    with pretended_gpu() as device:
        yield device
