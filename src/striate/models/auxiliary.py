"""Networks with classifiers on the way, whose losses help to train the early blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from jaxtyping import Float
from torch import Tensor, nn

from striate.models.network import Network, NetworkConfig
from striate.nn.aux_logits import AuxiliaryLogits
from striate.nn.blocks import ClassifierHead, init_convolution
from striate.nn.ranks import CONV_TYPES


class AuxiliaryNetwork(Network):
    """A network that also classifies after some blocks while it is trained.

    Args:
        config: what the network was built from.
        stem: the first block.
        stages: blocks by stage.
        num_features: of the pooled features.
        auxiliary: classifiers by the name of the block whose maps they take; the last layer of
            each is a `ClassifierHead` by the name of `head`.
    """

    def __init__(
        self,
        config: NetworkConfig,
        *,
        stem: nn.Module,
        stages: Iterable[Iterable[nn.Module]],
        num_features: int,
        auxiliary: Mapping[str, nn.Module],
    ) -> None:
        super().__init__(config, stem=stem, stages=stages, num_features=num_features)
        self.taps = tuple(auxiliary)
        self.auxiliary = nn.ModuleList(auxiliary.values())
        for module in self.auxiliary.modules():
            if isinstance(module, CONV_TYPES):
                init_convolution(module)

    # A module's own call gives Any: who trains looks at the type, who predicts gets a tensor.
    def forward(  # type: ignore[override]
        self, x: Float[Tensor, "n c *space"]
    ) -> Float[Tensor, "n classes"] | AuxiliaryLogits:
        """Logits of normalized inputs; while training those of all classifiers.

        Raises:
            ArgumentError: see `forward_features`.
        """
        if not self.training:
            return super().forward(x)
        self._check_input(x)
        heads = dict(zip(self.taps, self.auxiliary, strict=True))
        auxiliary = []
        for name, block in self.blocks():
            x = block(x)
            if name in heads:
                auxiliary.append(heads[name](x))
        return AuxiliaryLogits(self.forward_head(x), tuple(auxiliary))

    def replace_head(self, num_classes: int) -> None:
        """Put fresh heads for `num_classes` in place, on the device of the old ones.

        Raises:
            ArgumentError: `num_classes` is not positive.
        """
        super().replace_head(num_classes)
        for classifier in self.auxiliary:
            old = classifier.get_submodule("head")
            assert isinstance(old, ClassifierHead)
            head = ClassifierHead(old.linear.in_features, num_classes, old.dropout.p)
            head.to(old.linear.weight.device, old.linear.weight.dtype)
            classifier.add_module("head", head.train(self.training))
