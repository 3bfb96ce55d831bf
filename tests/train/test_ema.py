from __future__ import annotations

import torch

from striate.train.ema import decay_at, weight_average


def test_the_average_is_that_of_a_plain_loop(make_network) -> None:
    network = make_network()
    average = weight_average(network, decay=0.6)
    expected = {k: v.double().clone() for k, v in network.state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    for update in range(12):
        for parameter in network.parameters():
            parameter.data += torch.randn(parameter.shape, generator=generator)
        network(torch.randn(4, 2, 6, 6, generator=generator))  # moves the norm's statistics
        average.update_parameters(network)
        decay = min(0.6, (1 + update) / (10 + update))
        for name, value in network.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * value.double()
    for name, value in average.module.state_dict().items():
        if name.endswith("num_batches_tracked"):
            assert value == 12
        else:
            torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-6)


def test_it_is_a_copy_in_evaluation_mode(make_network) -> None:
    network = make_network().train()
    average = weight_average(network, decay=0.9)
    assert not average.module.training
    assert not any(p.requires_grad for p in average.module.parameters())
    assert all(p.requires_grad for p in network.parameters())


def test_the_decay_warms_up() -> None:
    decays = [decay_at(n, 0.99) for n in range(2000)]
    assert decays[0] == 0.1
    assert decays == sorted(decays)
    assert decays[-1] == 0.99
