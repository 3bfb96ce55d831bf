import pytest

from striate.errors import UnknownNameError
from striate.registry import Registry


def test_keeps_the_order_and_finds_entries():
    registry: Registry[int] = Registry("thing")
    registry.add("b", 1)
    registry.add("a", 2)
    assert registry.names() == ["b", "a"]
    assert registry.get("a") == 2
    assert "a" in registry
    assert len(registry) == 2
    assert dict(registry.items()) == {"b": 1, "a": 2}


def test_a_second_entry_of_one_name_raises():
    registry: Registry[int] = Registry("thing")
    registry.add("a", 1)
    with pytest.raises(ValueError, match="twice"):
        registry.add("a", 1)


def test_an_unknown_name_suggests_the_nearest():
    registry: Registry[int] = Registry("model")
    registry.add("resnet50", 1)
    with pytest.raises(UnknownNameError, match="unknown model 'resnet51'; did you mean 'resnet50'"):
        registry.get("resnet51")
