"""What wraps every network: standardisation and, where a picture is too small for it, upsampling."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Classifier(nn.Module):
    """A network on pictures in [0, 1]: (N, 1, H, W) → logits (N, classes).

    Standardisation, (x − mean) / std with one mean and one std per model, happens inside, so that attacks
    work on [0, 1]. Pictures smaller than the network's smallest input (63 for AlexNet, 32 for VGG-16, whose
    pooling would leave nothing) are first stretched bilinearly, each side on its own, to that smallest
    input; the network itself stays as published, its adaptive pooling included. The stretch is two matrix
    products, whose gradient is deterministic on every device.

    Parameters
    ----------
    network
        Takes (N, 1, H', W') and returns logits, or, in training mode, a tuple with the logits first and
        the logits of auxiliary heads after it.
    mean, std
        Of the training pictures.
    size
        Height and width of the pictures.
    smallest_side
        The network's smallest input.
    """

    mean: Tensor
    std: Tensor
    stretch_rows: Tensor | None
    stretch_columns: Tensor | None

    def __init__(
        self, network: nn.Module, *, mean: float, std: float, size: tuple[int, int], smallest_side: int = 1
    ) -> None:
        super().__init__()
        self.network = network
        self.size = size
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32))
        for name, side in zip(("stretch_rows", "stretch_columns"), size, strict=True):
            matrix = bilinear_matrix(side, smallest_side) if side < smallest_side else None
            self.register_buffer(name, matrix, persistent=False)
        self._channels_last = False

    def channels_last(self) -> Classifier:
        """Lay weights and pictures out with the channels last, as tensor cores want them; returns itself."""
        self.to(memory_format=torch.channels_last)
        self._channels_last = True
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes) of pictures (N, 1, H, W) in [0, 1]."""
        return self.all_logits(x)[0]

    def all_logits(self, x: Tensor) -> tuple[Tensor, ...]:
        """The logits and, in training mode, those of every auxiliary head after them."""
        x = (x - self.mean) / self.std
        if self.stretch_rows is not None:
            x = torch.einsum("ah,nchw->ncaw", self.stretch_rows, x)
        if self.stretch_columns is not None:
            x = torch.einsum("bw,nchw->nchb", self.stretch_columns, x)
        if self._channels_last:
            # With one channel both layouts lie alike in memory, and torch takes the strides for channels-first:
            # the first layer's maps would come out so, and be copied into the layout of all others.
            x = x.squeeze(1).contiguous().unsqueeze(-1).permute(0, 3, 1, 2)
        out = self.network(x)
        return (out,) if isinstance(out, Tensor) else tuple(out)


class FixedAdaptivePool(nn.Module):
    """`nn.AdaptiveAvgPool2d(new_size)` for maps of one size, as two matrix products.

    The gradient of torch's own is not deterministic on CUDA.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, size: tuple[int, int], new_size: tuple[int, int]) -> None:
        super().__init__()
        self.register_buffer("rows", _pooling_matrix(size[0], new_size[0]), persistent=False)
        self.register_buffer("columns", _pooling_matrix(size[1], new_size[1]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.einsum("ah,nchw->ncaw", self.rows.to(x.dtype), x)
        return torch.einsum("bw,nchw->nchb", self.columns.to(x.dtype), x)


class AuxiliaryHead(nn.Module):
    """A head of torchvision's GoogLeNet, `InceptionAux`, with pooling whose gradient is deterministic."""

    def __init__(self, head: nn.Module, size: tuple[int, int]) -> None:
        super().__init__()
        self.pool = FixedAdaptivePool(size, (4, 4))
        self.conv, self.fc1, self.fc2, self.dropout = (
            head.get_submodule(name) for name in ("conv", "fc1", "fc2", "dropout")
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes) of maps (N, channels, height, width)."""
        x = self.fc1(self.conv(self.pool(x)).flatten(1))
        logits: Tensor = self.fc2(self.dropout(nn.functional.relu(x)))
        return logits


def bilinear_matrix(size: int, new_size: int) -> Tensor:
    """The (new_size, size) matrix of bilinear interpolation, as torch's `interpolate`."""
    identity = torch.eye(size, dtype=torch.float64)[:, None, :]
    stretched = nn.functional.interpolate(identity, new_size, mode="linear", align_corners=False)
    return stretched[:, 0].T.float().contiguous()


def _pooling_matrix(size: int, new_size: int) -> Tensor:
    identity = torch.eye(size)[:, None, :]
    return nn.functional.adaptive_avg_pool1d(identity, new_size)[:, 0].T.contiguous()
