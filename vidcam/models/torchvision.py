"""torchvision's video classifiers, with the publisher's weights and labels."""

from __future__ import annotations

from urllib.error import URLError

from torch import nn

from vidcam.models.preprocess import Preprocess
from vidcam.models.torchvision_import import import_torchvision
from vidcam.models.weights import State, downloaded_to


def build(name: str, classes: int) -> nn.Module:
    """Return the network of that name with random weights."""
    import_torchvision()
    from torchvision.models import get_model

    network: nn.Module = get_model(name, weights=None, num_classes=classes)
    return network


def labels(name: str) -> tuple[str, ...]:
    """Return the class labels of the published weights (Kinetics-400)."""
    import_torchvision()
    from torchvision.models import get_model_weights

    return tuple(get_model_weights(name).DEFAULT.meta["categories"])


def published(name: str) -> State:
    """Return the published weights, from torchvision's cache or downloaded into it.

    Raises:
        ModelError: they are not in the cache and cannot be downloaded; the message says what to fetch and where to.
    """
    import_torchvision()
    from torchvision.models import get_model_weights

    weights = get_model_weights(name).DEFAULT
    try:
        state: State = weights.get_state_dict(progress=False, check_hash=True)
        return state
    except (URLError, OSError, RuntimeError) as error:
        raise downloaded_to(name, weights.url, "PyTorch", error) from error


def preprocess(name: str) -> Preprocess:
    """Return the preprocessing of the published weights, from torchvision's own transforms."""
    import_torchvision()
    from torchvision.models import get_model_weights

    transforms = get_model_weights(name).DEFAULT.transforms()
    resize, crop = list(transforms.resize_size), list(transforms.crop_size)
    return Preprocess(
        resize=resize[0] if len(resize) == 1 else (resize[0], resize[1]),
        crop=(crop[0], crop[-1]),
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
    )


def r2plus1d_34(classes: int) -> nn.Module:
    """Return R(2+1)D-34 as in the IG-65M checkpoints (Ghadiyaram et al. 2019, arXiv 1905.00561), in torchvision's layout.

    Caffe2 counted the channels between the two convolutions from the block's input at the first block of a stage,
    torchvision does not; the checkpoints follow Caffe2.
    """
    import_torchvision()
    from torchvision.models.video.resnet import BasicBlock, Conv2Plus1D, R2Plus1dStem, VideoResNet

    network = VideoResNet(BasicBlock, [Conv2Plus1D] * 4, [3, 4, 6, 3], R2Plus1dStem, num_classes=classes)
    for stage, width in ((network.layer2, 128), (network.layer3, 256), (network.layer4, 512)):
        stage[0].conv2[0] = Conv2Plus1D(width, width, width * 9 // 4)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.eps = 1e-3
    return network
