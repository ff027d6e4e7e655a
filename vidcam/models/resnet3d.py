"""3D ResNets of github.com/kenshohara/3D-ResNets-PyTorch (Hara et al. 2018, arXiv 1711.09577), of torchvision's blocks."""

from __future__ import annotations

from torch import nn

from vidcam.models.torchvision_import import import_torchvision

_BLOCKS = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3], 50: [3, 4, 6, 3]}


def resnet3d(depth: int, classes: int) -> nn.Module:
    """Return a 3D ResNet of depth 18, 34 or 50 with random weights.

    Unlike torchvision's, its stem spans 7 frames and is pooled over time and space. Shortcuts are of type B: a
    convolution wherever the shape changes.
    """
    import_torchvision()
    from torchvision.models.video.resnet import BasicBlock, Bottleneck, Conv3DSimple, VideoResNet

    def stem() -> nn.Module:
        return nn.Sequential(
            nn.Conv3d(3, 64, 7, (1, 2, 2), 3, bias=False), nn.BatchNorm3d(64), nn.ReLU(), nn.MaxPool3d(3, 2, 1)
        )

    block = Bottleneck if depth >= 50 else BasicBlock
    network: nn.Module = VideoResNet(block, [Conv3DSimple] * 4, _BLOCKS[depth], stem, num_classes=classes)
    return network
