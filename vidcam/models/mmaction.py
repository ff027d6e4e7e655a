"""mmaction2's networks, made of pytorchvideo's: they differ in strides, pools and in how pathways are joined."""

from __future__ import annotations

from torch import Tensor, nn

from vidcam.models import pytorchvideo


def slowonly(classes: int) -> nn.Module:
    """Return SlowOnly R50, whose head averages all positions."""
    network = pytorchvideo.build("slow_r50", classes)
    network.get_submodule("blocks.5").pool = nn.AdaptiveAvgPool3d(1)
    return network


def i3d(classes: int) -> nn.Module:
    """Return I3D-R50, whose stem has strides in time, two in its convolution and two in its pool."""
    network = pytorchvideo.build("i3d_r50", classes)
    convolution, pool = (network.get_submodule(f"blocks.0.{name}") for name in ("conv", "pool"))
    assert isinstance(convolution, nn.Conv3d) and isinstance(pool, nn.MaxPool3d)
    convolution.stride = pool.stride = (2, 2, 2)
    network.get_submodule("blocks.6").pool = nn.AdaptiveAvgPool3d(1)
    return network


def slowfast(classes: int) -> nn.Module:
    """Return SlowFast R50 8x8, whose pathways are joined without batch norm and rectifier."""
    network = pytorchvideo.build("slowfast_r50", classes)
    for stage in range(4):
        fusion = network.get_submodule(f"blocks.{stage}.multipathway_fusion")
        fusion.norm, fusion.activation = nn.Identity(), nn.Identity()
    network.get_submodule("blocks.5").pool = nn.ModuleList([nn.AdaptiveAvgPool3d(1), nn.AdaptiveAvgPool3d(1)])
    return network


def pathways(windows: Tensor) -> list[Tensor]:
    """Return the input of SlowFast from windows (N, 3, T, H, W): frames 0, 4, 8, ..., and all frames."""
    return [windows[:, :, :: pytorchvideo.ALPHA], windows]
