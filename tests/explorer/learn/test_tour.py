"""The tour has eight steps on every network, and its numbers are torch's."""

from itertools import pairwise

import pytest
from tests.explorer.conftest import hooked, session_of

from striate.explorer.learn.looked import shown

NETWORKS = {
    "lenet": ("lenet5", (3, 32, 32)),
    "text": ("conv6-bn-relu-maxpool-conv8k3s2-relu-gap-fc4", (3, 20, 18)),
    "no-stride": ("conv4k3-relu-gap-fc2", (1, 9, 9)),
    "resnet": ("resnet18", (3, 40, 33)),
    "series": ("inception_time_small", (2, 70)),
    "volume": ("conv4-bn-relu-conv4-gap-fc3", (1, 8, 9, 7)),
    "no-convolution": ("minirocket", (1, 256)),
}


@pytest.fixture(scope="module", params=NETWORKS)
def session(request):
    return session_of(*NETWORKS[request.param])


def test_there_are_eight_steps_that_lead_to_what_is_there(session):
    steps = session.tour(0)
    assert len(steps) == 8
    for step in steps:
        assert step["title"] and step["text"].endswith(".")
        look = step["look"]
        if look and look["view"] == "network":
            place = look["node"], look["channel"], look["position"]
            assert session.cell(0, *place)["value"] is not None


def test_the_number_that_is_followed_is_torchs(session):
    steps = session.tour(0)
    look = steps[2]["look"]
    name = session.network["nodes"][look["node"]]["name"]
    seen = hooked(session.subject.network, session.walked(0).x)
    torchs = seen[name][(0, look["channel"], *look["position"])].item()
    facts = dict(steps[2]["facts"])
    assert facts["result"] == shown(torchs)
    after = session.network["nodes"][look["node"]]["followers"]
    told = [value for _, value in steps[3]["facts"]]
    values = [
        seen[session.network["nodes"][n]["name"]][(0, look["channel"], *look["position"])].item()
        for n in after
    ]
    assert told == ([shown(torchs), *map(shown, values)] if after else [])


def test_the_number_that_is_followed_is_the_largest_of_a_first_layer():
    session = session_of("conv4k3-relu-gap-fc2", (1, 9, 9))
    look = session.tour(0)[1]["look"]
    seen = hooked(session.subject.network, session.walked(0).x)
    maps = seen["stem.0"][0, :, 1:-1, 1:-1]  # windows without padding
    assert seen["stem.0"][(0, look["channel"], *look["position"])] == maps.max()


def test_a_network_without_convolutions_says_so():
    steps = session_of("minirocket", (1, 256)).tour(0)
    assert "no convolution" in steps[1]["text"] and "no convolution" in steps[4]["text"]


def test_the_answer_is_softmax_of_the_logits(session):
    step = session.tour(0)[7]
    logits = hooked(session.subject.network, session.walked(0).x)[""][0].double()
    share = logits.softmax(0).max().item()
    assert dict(step["facts"])["its share"] == f"{100 * share:.1f} %"


def test_the_fields_that_are_named_grow(session):
    step = session.tour(0)[6]
    sizes = [[int(n) for n in size.split(" × ")] for _, size in step["facts"]]
    for smaller, larger in pairwise(sizes):
        assert all(a <= b for a, b in zip(smaller, larger, strict=True))
    assert len({tuple(size) for size in sizes}) == len(sizes)


def test_of_attention_it_is_not_said_that_fields_grow():
    text = session_of("vit_ti_16", (3, 32, 48)).tour(0)[6]["text"]
    assert "sees 16 × 16 of the 32 × 48 places" in text and "attention" in text
    assert "grows" not in text
