"""Batch norms and dropout that see the whole batch, of which each process has a share.

A network is left as it is. While it computes, what torch is asked for is looked at, and the three
functions that depend on the other items of a batch are computed with the other processes: batch
norm, whose statistics are those of all items, and dropout and Bernoulli numbers, of which each
process draws those of the whole batch and takes its own. So several processes compute what one
would.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

Gather: TypeAlias = Callable[[Tensor], Tensor]
"""Gives the tensors of all processes, (processes, ...), in their order."""


class Together(nn.Module):
    """A network that computes with those of the other processes, each its share of a batch.

    Args:
        network: The network, which is not changed.
        rank: Number of this process; the first share of a batch is that of process 0.
        gather: Gathers a tensor from all processes.
    """

    def __init__(self, network: nn.Module, rank: int, gather: Gather) -> None:
        super().__init__()
        self.network = network
        self._rank, self._gather = rank, gather

    def forward(self, inputs: Any) -> Any:
        """The network's outputs for this process's items."""
        with _WholeBatch(self._rank, self._gather):
            return self.network(inputs)


class _WholeBatch(TorchFunctionMode):
    """Computes what depends on other items of the batch with the other processes."""

    def __init__(self, rank: int, gather: Gather) -> None:
        super().__init__()
        self._rank, self._gather = rank, gather
        self._ours: dict[Any, Callable[..., Any]] = {
            F.batch_norm: self._batch_norm,
            F.dropout: self._dropout,
            Tensor.bernoulli_: self._bernoulli_,
        }

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return self._ours.get(function, function)(*args, **(kwargs or {}))

    def _batch_norm(
        self,
        inputs: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        if not training:
            return F.batch_norm(
                inputs, running_mean, running_var, weight, bias, training, momentum, eps
            )
        outputs: Tensor
        outputs, mean, var, count = _BatchNorm.apply(inputs, weight, bias, eps, self._gather)
        with torch.no_grad():
            if running_mean is not None and running_var is not None:
                unbiased = var * (count / (count - 1).clamp(min=1))
                running_mean.lerp_(mean.to(running_mean.dtype), momentum)
                running_var.lerp_(unbiased.to(running_var.dtype), momentum)
        return outputs

    def _dropout(
        self, inputs: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> Tensor:
        if not training or p == 0:
            return inputs
        kept = self._drawn(inputs, 1 - p).div_(1 - p)
        return inputs.mul_(kept) if inplace else inputs * kept

    def _bernoulli_(self, tensor: Tensor, p: float = 0.5, **options: Any) -> Tensor:
        return tensor.copy_(self._drawn(tensor, p))

    def _drawn(self, like: Tensor, p: float) -> Tensor:
        """Zeros and ones for this process's items, as one process would draw for all of them."""
        counts = self._gather(torch.tensor([len(like)])).flatten().tolist()
        start = sum(counts[: self._rank])
        whole = like.detach()[:1].expand(sum(counts), *like.shape[1:])
        drawn = torch.empty_like(whole, memory_format=_layout(like)).bernoulli_(p)
        return drawn[start : start + len(like)]


def _layout(tensor: Tensor) -> torch.memory_format:
    """The order of a tensor's numbers, in which random ones are drawn."""
    for layout, rank in ((torch.channels_last, 4), (torch.channels_last_3d, 5)):
        if tensor.ndim == rank and tensor.is_contiguous(memory_format=layout):
            return layout
    return torch.contiguous_format


class _BatchNorm(torch.autograd.Function):
    """Batch norm by the statistics of all processes' items.

    The variances of the shares are combined by the formula of Chan, Golub and LeVeque (1979), in
    float64.
    """

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
        gather: Gather,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The outputs, and the mean, the variance and the number of items' places."""
        kind = torch.promote_types(inputs.dtype, torch.float32)
        unused = inputs.new_zeros(inputs.shape[1], dtype=kind)  # without it results have few digits
        found = torch.batch_norm_update_stats(inputs, unused, unused.clone(), 0.0)
        mean, var = (part.double() for part in found)
        own = torch.full_like(mean, inputs.numel() / inputs.shape[1])
        counts, means, variances = gather(torch.stack([own, mean, var])).unbind(1)
        count = counts.sum(0)
        mean = (counts * means).sum(0) / count
        var = (counts * (variances + (means - mean).square())).sum(0) / count
        used_mean, used_var = mean.to(kind), var.to(kind)
        ctx.save_for_backward(inputs, weight, used_mean, (var + eps).rsqrt())
        ctx.eps, ctx.gather, ctx.count = eps, gather, float(count[0])
        outputs = F.batch_norm(inputs, used_mean, used_var, weight, bias, False, 0.0, eps)
        ctx.mark_non_differentiable(mean, var, count)
        return outputs, mean, var, count

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *unused: Tensor) -> Any:
        """Gradients of the inputs, the weight and the bias; those of the last two of own items."""
        inputs, weight, mean, scale = ctx.saved_tensors
        # torch's own sums over the items here, of the gradient and of its product with the normed.
        _, product, plain = torch.ops.aten.native_batch_norm_backward(
            gradient, inputs, torch.ones_like(mean), None, None,
            mean, scale.to(mean.dtype), True, ctx.eps, [False, True, True],
        )  # fmt: skip
        sums = torch.stack([plain, product])
        first, second = ctx.gather(sums.double()).sum(0) / ctx.count
        factor = scale if weight is None else scale * weight
        # Each of both terms in one pass, by torch's own function for a norm that is known.
        kind, zeros, ones = mean.dtype, torch.zeros_like(mean), torch.ones_like(mean)
        found = F.batch_norm(
            inputs, mean, (1 / scale.square()).to(kind), (-factor * second).to(kind),
            (-factor * first).to(kind), eps=0.0,
        ).add_(F.batch_norm(gradient, zeros, ones, factor.to(kind), eps=0.0))  # fmt: skip
        own = (None, None) if weight is None else (product.to(weight.dtype), plain.to(weight.dtype))
        return found, *own, None, None
