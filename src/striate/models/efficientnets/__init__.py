"""EfficientNet and EfficientNetV2, whose blocks are the same."""

from striate.models.efficientnets.efficientnet import EfficientNet
from striate.models.efficientnets.efficientnet_v2 import EfficientNetV2

__all__ = ["EfficientNet", "EfficientNetV2"]
