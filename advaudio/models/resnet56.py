"""ResNet-56, the CIFAR network of He et al., "Deep Residual Learning for Image Recognition", CVPR 2016.

6n + 2 layers with n = 9: three groups of nine blocks with 16, 32 and 64 channels, and shortcuts without
parameters (option A: every second pixel, new channels zero). Layer names are those of the CIFAR-10 weights
in circulation, so that these load unchanged.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

BLOCKS_PER_GROUP = 9

# With 55 layers of them, running statistics that trail the weights by ten steps (torch's 0.1) spoil the first
# epochs on a small data set, which have a few dozen steps.
STATISTICS_MOMENTUM = 0.2


class Block(nn.Module):
    """Two 3×3 convolutions and the identity: (N, channels_in, H, W) → (N, channels, H/stride, W/stride)."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels, momentum=STATISTICS_MOMENTUM)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels, momentum=STATISTICS_MOMENTUM)
        self.relu = nn.ReLU(inplace=True)
        self.stride = stride
        self.new_channels = channels - channels_in

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.new_channels:
            half = self.new_channels // 2
            x = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, half))
        out += x
        activated: Tensor = self.relu(out)
        return activated


class ResNet56(nn.Module):
    """(N, channels, H, W) → logits (N, num_classes); 0.86 M parameters with ten classes.

    Parameters
    ----------
    num_classes
        Outputs.
    channels
        Input channels.
    """

    def __init__(self, num_classes: int, channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16, momentum=STATISTICS_MOMENTUM)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = _group(16, 16, 1)
        self.layer2 = _group(16, 32, 2)
        self.layer3 = _group(32, 64, 2)
        self.linear = nn.Linear(64, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, Block):
                # Blocks begin as the identity, so that 56 layers learn within a few epochs
                # (Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 5.1).
                nn.init.zeros_(module.bn2.weight)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.layer3(self.layer2(self.layer1(out)))
        logits: Tensor = self.linear(torch.mean(out, dim=(2, 3)))
        return logits


def _group(channels_in: int, channels: int, stride: int) -> nn.Sequential:
    first = Block(channels_in, channels, stride)
    return nn.Sequential(first, *(Block(channels, channels, 1) for _ in range(BLOCKS_PER_GROUP - 1)))
