"""Networks whose every number is another, small items, and what torch's hooks see of them."""

import threading
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from striate.explorer.app import make_app
from striate.explorer.session import Session
from striate.explorer.subjects.model_subject import ModelSubject
from striate.nn.ranks import BATCH_NORM_TYPES


@contextmanager
def served(session, data=None):
    """The address of the pages of a network, and of a run's data, while a server answers."""
    import uvicorn

    from striate.web.guard import Guard
    from striate.web.policy import policy_for
    from striate.web.start import bound_socket, url_of

    bound = bound_socket("127.0.0.1", 0)
    policy = policy_for("127.0.0.1", None)
    app = Guard(make_app(session, policy.token, data), policy)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    yield url_of(bound, "127.0.0.1")
    server.should_exit = True
    thread.join(10)
    bound.close()


def lively(network, seed=0):
    """Random statistics, scales, shifts and biases, so that none of them is 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, BATCH_NORM_TYPES):
                module.running_mean.normal_(0, 0.3, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
            if isinstance(module, (*BATCH_NORM_TYPES, nn.LayerNorm)):
                module.weight.uniform_(0.7, 1.3, generator=generator)
            if getattr(module, "bias", None) is not None:
                module.bias.normal_(0, 0.1, generator=generator)
            if getattr(module, "scale", None) is not None:
                module.scale.uniform_(0.5, 1.0, generator=generator)
    return network


def session_of(name, shape):
    subject = ModelSubject(name, shape)
    lively(subject.network)
    return Session(subject)


def hooked(network, x):
    """What each module gave, by name, and the network."""
    seen = {}
    hooks = [
        module.register_forward_hook(lambda _, __, y, name=name: seen.update({name: y}))
        for name, module in network.named_modules()
    ]
    with torch.inference_mode():
        network(x)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.fixture(scope="session")
def lenet():
    return session_of("lenet5", (3, 32, 32))
