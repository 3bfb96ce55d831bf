"""Networks that are built on another network's maps: how they say which one, and make it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from striate.models.catalog import find
from striate.models.create import configure
from striate.models.network import GridConfig, Network

_SHARED: Final = ("rank", "in_channels", "input_size")
"""Fields of the configuration that are the backbone's too."""


@dataclass(frozen=True, kw_only=True)
class BackboneConfig(GridConfig):
    """A network on the maps of another, its backbone.

    Attributes:
        backbone: Name of the backbone, of any rank that it has.
        backbone_options: What its configuration has otherwise than a network of that name.
    """

    backbone: str = "efficientnet_lite0"
    backbone_options: Mapping[str, Any] = field(default_factory=dict)

    def build_backbone(self) -> Network:
        """The backbone with random weights."""
        variant = find(self.backbone)
        shared = {name: getattr(self, name) for name in _SHARED}
        options = {**self.backbone_options, **shared}
        return variant.build(configure(self.backbone, variant.config, options))


def backbone_fields(network: Network, name: str) -> dict[str, Any]:
    """The fields of a `BackboneConfig` for a network that is to be the backbone.

    Args:
        network: The backbone.
        name: Its name, for `create_model`.
    """
    own, usual = asdict(network.config), asdict(find(name).config)
    shared = {key: own.pop(key) for key in _SHARED}
    del own["num_classes"]
    options = {key: value for key, value in own.items() if value != usual[key]}
    return {**shared, "backbone": name, "backbone_options": options}
