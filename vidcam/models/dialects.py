"""Dialects of checkpoints: other publishers' names of the parameters of the same networks.

Each function returns a state dict under the names of a network of the registry; names that it does not know are
unchanged. The names were read in the publishers' source code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch

from vidcam.models.weights import State

_LETTERS = {"1": "a", "2": "b", "3": "c"}


def slowfast_repository(state: State) -> State:
    """Return a ResNet of github.com/facebookresearch/SlowFast (models/video_model_builder.py) under pytorchvideo's names.

    Two pathways are those of SlowFast. One is that of Slow, whose stages are `blocks.1` to `blocks.4`.
    """
    several = any("pathway1_" in name for name in state)

    def block(stage: str, pathway: str) -> str:
        return f"blocks.{int(stage) - 1}" + (f".multipathway_blocks.{pathway}" if several else "")

    rules: list[Rule] = [
        (r"s(1)\.pathway(\d)_stem\.(conv|bn)\.", lambda m: f"{block(m[1], m[2])}.{_norm(m[3])}."),
        (
            r"s(\d)\.pathway(\d)_res(\d+)\.branch1(_bn)?\.",
            lambda m: f"{block(m[1], m[2])}.res_blocks.{m[3]}.branch1_{'norm' if m[4] else 'conv'}.",
        ),
        (
            r"s(\d)\.pathway(\d)_res(\d+)\.branch2\.([abc])(_bn)?\.",
            lambda m: f"{block(m[1], m[2])}.res_blocks.{m[3]}.branch2.{'norm' if m[5] else 'conv'}_{m[4]}.",
        ),
        (
            r"s(\d)_fuse\.(conv_f2s|bn)\.",
            lambda m: f"blocks.{int(m[1]) - 1}.multipathway_fusion.{'norm' if m[2] == 'bn' else 'conv_fast_to_slow'}.",
        ),
        (r"head\.projection\.", lambda m: f"blocks.{6 if several else 5}.proj."),
    ]
    return _renamed(state, rules)


def slowfast_repository_with_pool(state: State) -> State:
    """Return I3D or C2D of github.com/facebookresearch/SlowFast under pytorchvideo's names, where a pool is `blocks.2`."""
    return _behind_a_pool(slowfast_repository(state))


def mmaction_slowonly(state: State) -> State:
    """Return SlowOnly of mmaction2 (backbones/resnet3d_slowonly.py, heads/i3d_head.py) under pytorchvideo's names."""
    return _renamed(state, [*_pathway(r"backbone\.", ""), (r"cls_head\.fc_cls\.", lambda m: "blocks.5.proj.")])


def mmaction_i3d(state: State) -> State:
    """Return I3D-R50 of mmaction2 (backbones/resnet3d.py, heads/i3d_head.py) under pytorchvideo's names."""
    return _behind_a_pool(mmaction_slowonly(state))


def mmaction_slowfast(state: State) -> State:
    """Return SlowFast of mmaction2 (backbones/resnet3d_slowfast.py) under pytorchvideo's names.

    The classifier reads the fast pathway before the slow one (heads/slowfast_head.py), and pytorchvideo's after it.
    """
    rules: list[Rule] = [
        *_pathway(r"backbone\.slow_path\.", ".multipathway_blocks.0"),
        *_pathway(r"backbone\.fast_path\.", ".multipathway_blocks.1"),
        (
            r"backbone\.slow_path\.(?:conv1|layer(\d))_lateral\.(conv|bn)\.",
            lambda m: f"blocks.{m[1] or 0}.multipathway_fusion.{'norm' if m[2] == 'bn' else 'conv_fast_to_slow'}.",
        ),
        (r"cls_head\.fc_cls\.", lambda m: "blocks.6.proj."),
    ]
    found = dict(_renamed(state, rules))
    classifier = state.get("cls_head.fc_cls.weight")
    if classifier is not None and classifier.ndim == 2:
        fast = classifier.shape[1] // 9  # an eighth as wide as the slow pathway
        found["blocks.6.proj.weight"] = torch.cat([classifier[:, fast:], classifier[:, :fast]], dim=1)
    return found


def frames_of_resnet(state: State) -> State:
    """Return TSN or TSM under the names of github.com/mit-han-lab/temporal-shift-module (ops/models.py).

    Given are those or mmaction2's, of backbones/resnet.py and resnet_tsm.py, heads/tsn_head.py and tsm_head.py.
    """
    rules: list[Rule] = [
        (r"backbone\.conv1\.(conv|bn)\.", lambda m: f"base_model.{m[1]}1."),
        (r"backbone\.(layer\d\.\d+)\.conv(\d)\.conv\.", lambda m: f"base_model.{m[1]}.conv{m[2]}."),
        (r"backbone\.(layer\d\.\d+)\.conv(\d)\.bn\.", lambda m: f"base_model.{m[1]}.bn{m[2]}."),
        (
            r"backbone\.(layer\d\.\d+)\.downsample\.(conv|bn)\.",
            lambda m: f"base_model.{m[1]}.downsample.{int(m[2] == 'bn')}.",
        ),
        (r"cls_head\.fc_cls\.", lambda m: "new_fc."),
    ]
    return _renamed(state, rules)


def kenshohara(state: State) -> State:
    """Return a ResNet of github.com/kenshohara/3D-ResNets-PyTorch (models/resnet.py) under torchvision's names."""
    rules: list[Rule] = [
        (r"(conv|bn)1\.", lambda m: f"stem.{int(m[1] == 'bn')}."),
        (r"(layer\d\.\d+)\.(conv|bn)(\d)\.(?!\d)", lambda m: f"{m[1]}.conv{m[3]}.{int(m[2] == 'bn')}."),
    ]
    return _renamed(state, rules)


Rule = tuple[str, Callable[[re.Match[str]], str]]


def _pathway(prefix: str, pathway: str) -> list[Rule]:
    """Return the rules of a ResNet of mmaction2 whose stages are `blocks.1` to `blocks.4`."""
    return [
        (prefix + r"conv1\.(conv|bn)\.", lambda m: f"blocks.0{pathway}.{_norm(m[1])}."),
        (
            prefix + r"layer(\d)\.(\d+)\.conv([123])\.(conv|bn)\.",
            lambda m: f"blocks.{m[1]}{pathway}.res_blocks.{m[2]}.branch2.{_norm(m[4])}_{_LETTERS[m[3]]}.",
        ),
        (
            prefix + r"layer(\d)\.(\d+)\.downsample\.(conv|bn)\.",
            lambda m: f"blocks.{m[1]}{pathway}.res_blocks.{m[2]}.branch1_{_norm(m[3])}.",
        ),
    ]


def _norm(kind: str) -> str:
    return "norm" if kind == "bn" else "conv"


def _behind_a_pool(state: State) -> State:
    """Return a state dict whose blocks 2 to 5 are numbered 3 to 6, if it has none of pytorchvideo's own I3D."""
    if any(name.startswith("blocks.6.") for name in state):
        return state
    return _renamed(state, [(r"blocks\.([2-5])\.", lambda m: f"blocks.{int(m[1]) + 1}.")])


def _renamed(state: State, rules: list[Rule]) -> State:
    found = {}
    for name, value in state.items():
        for pattern, replacement in rules:
            match = re.match(pattern, name)
            if match:
                name = replacement(match) + name[match.end() :]
                break
        found[name] = value
    return found


class Known(NamedTuple):
    """An architecture that is recognized by the names and shapes of a checkpoint.

    Attributes:
        title: the publisher and the architecture.
        names: regular expressions; each is found in some name.
        advice: the name of the network that takes it, or the reason why none does.
        shapes: of tensors whose names end so.
        absent: a regular expression that is found in no name, or "".
    """

    title: str
    names: tuple[str, ...]
    advice: str
    shapes: Mapping[str, tuple[int, ...]] = MappingProxyType({})
    absent: str = ""


_DEEPER = r"layer3\.6\."  # than ResNet-50
_NOT_HERE = "vidcam has no such network; build it in Python and pass it to vidcam.own_model"
KNOWN = (
    Known("a non-local network", (r"non_local|nonlocal",), _NOT_HERE),
    Known(
        "mmaction2's SlowFast R50 8x8",
        (r"backbone\.slow_path\.conv1_lateral\.conv\.",),
        "it loads as slowfast_r50-mmaction",
        {
            "slow_path.conv1_lateral.conv.weight": (16, 8, 7, 1, 1),
            "slow_path.layer3.5.conv3.conv.weight": (1024, 256, 1, 1, 1),
        },
    ),
    Known(
        "mmaction2's SlowFast of another depth or of other connections between its pathways",
        (r"backbone\.slow_path\.",),
        _NOT_HERE,
    ),
    Known(
        "mmaction2's R(2+1)D",
        (r"backbone\.layer1\.0\.conv1\.conv\.conv_s\.",),
        "its stem has a max pool and 83 channels where torchvision's has none and 45, and its shortcuts are of two "
        f"convolutions; {_NOT_HERE}",
    ),
    Known(
        "mmaction2's TSM R50",
        (r"backbone\.layer\d\.\d\.conv1\.conv\.net\.", r"layer4\.2\.conv3"),
        "it loads as tsm_r50",
        absent=_DEEPER,
    ),
    Known(
        "mmaction2's TSN R50",
        (r"backbone\.layer3\.5\.conv3\.conv\.", r"cls_head\.fc_cls\."),
        "it loads as tsn_r50",
        {"backbone.conv1.conv.weight": (64, 3, 7, 7), "backbone.layer1.0.conv1.conv.weight": (64, 64, 1, 1)},
        absent=_DEEPER,
    ),
    Known(
        "mmaction2's SlowOnly R50",
        (r"backbone\.layer3\.5\.conv3\.conv\.", r"cls_head\.fc_cls\."),
        "it loads as slow_r50-mmaction (8 frames) or slow_r50_4x16-mmaction",
        {"backbone.conv1.conv.weight": (64, 3, 1, 7, 7), "layer3.5.conv1.conv.weight": (256, 1024, 3, 1, 1)},
    ),
    Known(
        "mmaction2's I3D R50",
        (r"backbone\.layer3\.5\.conv3\.conv\.", r"cls_head\.fc_cls\."),
        "it loads as i3d_r50-mmaction",
        {"backbone.conv1.conv.weight": (64, 3, 5, 7, 7)},
    ),
    Known(
        "mmaction2's ResNet3d of basic blocks",
        (r"backbone\.layer1\.0\.conv2\.conv\.", r"backbone\.layer1\.0\.conv2\.bn\."),
        "its max pools and strides in time, which torchvision's r3d_18 has not, are in its config and not in the file; "
        f"{_NOT_HERE}",
        {"backbone.layer1.0.conv1.conv.weight": (64, 64, 3, 3, 3)},
    ),
    Known("mmaction2's C3D", (r"backbone\.conv5b\.conv\.",), "it loads as c3d-mmaction"),
    Known("another network of mmaction2", (r"^(module\.)?backbone\.", r"cls_head\."), _NOT_HERE),
    Known(
        "3D-ResNets-PyTorch's R(2+1)D",
        (r"(^|\.)conv1_s\.weight", r"layer1\.0\.conv\d_s\."),
        f"its stem is of 7 frames and pooled; {_NOT_HERE}",
    ),
    *(
        Known(
            f"3D-ResNets-PyTorch's ResNet-{depth}",
            (r"(^|\.)conv1\.weight", last, r"layer2\.0\.downsample\.0\."),
            f"it loads as r3d_{depth}-kenshohara",
            {"layer1.0.conv2.weight": (64, 64, 3, 3, 3), "layer3.1.conv1.weight": shape},
        )
        for depth, last, shape in (
            (34, r"layer3\.5\.conv2\.", (256, 256, 3, 3, 3)),
            (50, r"layer3\.5\.conv3\.", (256, 1024, 1, 1, 1)),
            (18, r"layer3\.1\.conv2\.", (256, 256, 3, 3, 3)),
        )
    ),
    Known(
        "3D-ResNets-PyTorch's ResNet of another depth, or with shortcuts of type A",
        (r"(^|\.)conv1\.weight",),
        f"r3d_18, r3d_34 and r3d_50 with shortcuts of type B load; {_NOT_HERE}",
        {"layer1.0.conv2.weight": (64, 64, 3, 3, 3)},
    ),
    Known(
        "MIT's TSM on ResNet-50",
        (r"base_model\.layer3\.5\.conv1\.net\.", r"new_fc\."),
        "it loads as tsm_r50",
        absent=_DEEPER,
    ),
    Known(
        "MIT's TSN on ResNet-50",
        (r"base_model\.layer3\.5\.conv3\.weight", r"base_model\.layer1\.0\.conv1\.weight", r"new_fc\."),
        "it loads as tsn_r50",
        absent=_DEEPER,
    ),
    Known("a TSN or TSM of MIT on another network", (r"base_model\.", r"new_fc\."), _NOT_HERE),
    Known(
        "SlowFast R50 of the SlowFast repository",
        (r"s4\.pathway1_res5\.branch2", r"s1_fuse"),
        "it loads as slowfast_r50",
    ),
    Known(
        "X3D of the SlowFast repository",
        (r"s1\.pathway0_stem\.conv_xy\.", r"s2\.pathway0_res0\.branch1_bn\."),
        f"its first shortcut has a batch norm, which pytorchvideo's x3d_xs to x3d_l have not; {_NOT_HERE}",
    ),
    Known(
        "a network of the SlowFast repository",
        (r"s1\.pathway0_stem\.",),
        "slow_r50, slowfast_r50, i3d_r50 and c2d_r50 load",
    ),
    Known(
        "a network of pytorchvideo",
        (r"blocks\.1\..*res_blocks\.0\.branch2\.",),
        "`vidcam models` lists those that load",
    ),
    Known(
        "torchvision's video ResNet",
        (r"stem\.0\.weight", r"layer1\.0\.conv1\.0\."),
        "r3d_18, mc3_18 and r2plus1d_18 load",
    ),
    Known(
        "a 2D ResNet",
        (r"(^|\.)conv1\.weight", r"layer1\.0\.conv1\.weight"),
        "it has no time; resnet18 to resnet152 explain pictures",
    ),
    Known(
        "a transformer",
        (r"blocks\.0\.attn\.qkv", r"norm1\."),
        "mvit_v1_b and mvit_v2_s load; pass others to vidcam.own_model",
    ),
    Known(
        "a network of Hugging Face",
        (r"encoder\.layer\.0\.attention\.",),
        "give the folder of save_pretrained, not its weights alone",
    ),
)


def looks_like(state: State, name: str) -> str:
    """Return the architecture that a checkpoint is of and what takes it, or "" if it is not known.

    Args:
        state: the checkpoint, under its publisher's names.
        name: of the network that it does not fit; "" is returned if a checkpoint of that architecture should.
    """
    for known in KNOWN:
        named = all(any(re.search(pattern, name) for name in state) for pattern in known.names)
        shaped = all(
            any(n.endswith(end) and v.shape == shape for n, v in state.items()) for end, shape in known.shapes.items()
        )
        present = bool(known.absent) and any(re.search(known.absent, name) for name in state)
        if named and shaped and not present:
            fits = known.advice.startswith("it loads as") and name in re.split(r"[^\w-]+", known.advice)
            return "" if fits else f"{known.title}: {known.advice}"
    return ""
