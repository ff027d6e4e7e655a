"""Checkpoints under the names of their publishers, made of the states of vidcam's own networks."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn

from vidcam.errors import ModelError
from vidcam.models.dialects import looks_like
from vidcam.models.registry import load_model, model_names, spec_named
from vidcam.models.weights import Checkpoint, State, check_fit, fitted_to

Names = list[tuple[str, str]]

# Patterns of vidcam's names and the publisher's names, from the publisher's source code.
_SLOW_PATHWAY: Names = [
    (r"blocks\.0\.(conv|norm)", r"s1.pathway0_stem.\1"),
    (r"blocks\.(\d)\.res_blocks\.(\d+)\.branch1_(conv|norm)", r"s<\1>.pathway0_res\2.branch1{\3}"),
    (r"blocks\.(\d)\.res_blocks\.(\d+)\.branch2\.(conv|norm)_([abc])", r"s<\1>.pathway0_res\2.branch2.\4{\3}"),
]
_MMACTION: Names = [
    (r"blocks\.0\.(conv|norm)", r"backbone.conv1.\1"),
    (r"blocks\.(\d)\.res_blocks\.(\d+)\.branch1_(conv|norm)", r"backbone.layer\1.\2.downsample.\3"),
    (r"blocks\.(\d)\.res_blocks\.(\d+)\.branch2\.(conv|norm)_a", r"backbone.layer\1.\2.conv1.\3"),
    (r"blocks\.(\d)\.res_blocks\.(\d+)\.branch2\.(conv|norm)_b", r"backbone.layer\1.\2.conv2.\3"),
    (r"blocks\.(\d)\.res_blocks\.(\d+)\.branch2\.(conv|norm)_c", r"backbone.layer\1.\2.conv3.\3"),
]


def _published(state: State, names: Names) -> State:
    found = {}
    for name, value in state.items():
        for pattern, replacement in names:
            name, times = re.subn(f"^{pattern}(?=\\.)", replacement, name)
            if times:
                break
        found[name] = value
    return found


def _slowfast_repository(state: State) -> State:
    names: Names = [(r"blocks\.[56]\.proj", "head.projection")]
    for pathway in "01":
        for pattern, replacement in _SLOW_PATHWAY:
            there = replacement.replace("pathway0", f"pathway{pathway}")
            names.append(
                (
                    pattern.replace(r"\.(", rf"\.multipathway_blocks\.{pathway}\.(", 1)
                    if "blocks\\.0" in pattern
                    else pattern.replace(r"\.res", rf"\.multipathway_blocks\.{pathway}\.res"),
                    there,
                )
            )
    names += [
        (r"blocks\.(\d)\.multipathway_fusion\.conv_fast_to_slow", r"s<\1>_fuse.conv_f2s"),
        (r"blocks\.(\d)\.multipathway_fusion\.norm", r"s<\1>_fuse.bn"),
        *_SLOW_PATHWAY,
    ]

    def finished(name: str) -> str:
        name = re.sub(r"s<(\d)>", lambda m: f"s{int(m[1]) + 1}", name)
        name = name.replace("{conv}", "").replace("{norm}", "_bn")
        return re.sub(r"(stem)\.norm", r"\1.bn", name)

    return {finished(name): value for name, value in _published(state, names).items()}


def _before_a_pool(state: State) -> State:
    """The names of a network with a pool, numbered as those of one without."""
    return {re.sub(r"^blocks\.([3-6])", lambda m: f"blocks.{int(m[1]) - 1}", name): v for name, v in state.items()}


def _mmaction_slowonly(state: State) -> State:
    names = [*_MMACTION, (r"blocks\.5\.proj", "cls_head.fc_cls")]
    return {name.replace(".norm.", ".bn."): value for name, value in _published(state, names).items()}


def _mmaction_slowfast(state: State) -> State:
    names: Names = [
        (r"blocks\.0\.multipathway_fusion\.conv_fast_to_slow", "backbone.slow_path.conv1_lateral.conv"),
        (r"blocks\.(\d)\.multipathway_fusion\.conv_fast_to_slow", r"backbone.slow_path.layer\1_lateral.conv"),
        (r"blocks\.6\.proj", "cls_head.fc_cls"),
    ]
    for number, path in ((0, "slow_path"), (1, "fast_path")):
        for pattern, there in _MMACTION:
            inside = pattern.replace(r"blocks\.0\.", rf"blocks\.0\.multipathway_blocks\.{number}\.")
            inside = inside.replace(r"\.res_blocks", rf"\.multipathway_blocks\.{number}\.res_blocks")
            names.append((inside, there.replace("backbone.", f"backbone.{path}.")))
    found = {name.replace(".norm.", ".bn."): value for name, value in _published(state, names).items()}
    slow, fast = found["cls_head.fc_cls.weight"].split([2048, 256], dim=1)
    return {**found, "cls_head.fc_cls.weight": torch.cat([fast, slow], dim=1)}  # its head reads the fast pathway first


def _mmaction_tsm(state: State) -> State:
    names: Names = [
        (r"base_model\.(conv|bn)1", r"backbone.conv1.\1"),
        (r"base_model\.(layer\d\.\d+)\.conv1\.net", r"backbone.\1.conv1.conv.net"),
        (r"base_model\.(layer\d\.\d+)\.(conv|bn)(\d)", r"backbone.\1.conv\3.\2"),
        (r"base_model\.(layer\d\.\d+)\.downsample\.0", r"backbone.\1.downsample.conv"),
        (r"base_model\.(layer\d\.\d+)\.downsample\.1", r"backbone.\1.downsample.bn"),
        (r"new_fc", "cls_head.fc_cls"),
    ]
    return _published(state, names)


def _kenshohara(state: State) -> State:
    names: Names = [
        (r"stem\.0", "conv1"),
        (r"stem\.1", "bn1"),
        (r"(layer\d\.\d+)\.conv(\d)\.0", r"\1.conv\2"),
        (r"(layer\d\.\d+)\.conv(\d)\.1", r"\1.bn\2"),
    ]
    return _published(state, names)


def _as_it_is(state: State) -> State:
    return state


def _mmengine(state: State) -> object:
    return {"meta": {"epoch": 256, "mmaction_version": "1.2.0"}, "state_dict": state, "message_hub": {}}


def _lightning(state: State) -> object:
    return {"state_dict": {f"model.{k}": v for k, v in state.items()}, "hyper_parameters": {"lr": 0.1}}


def _hub(state: State) -> object:
    return {"epoch": 196, "model_state": state, "optimizer_state": {"state": {}}, "cfg": "TRAIN: ..."}


DIALECTS: list[tuple[str, Callable[[State], State], Callable[[State], object], str, str]] = [
    (
        "slow_r50",
        _slowfast_repository,
        _hub,
        "blocks.3.res_blocks.5.branch2.conv_c.weight",
        "s4.pathway0_res5.branch2.c.weight",
    ),
    ("slowfast_r50", _slowfast_repository, _hub, "blocks.0.multipathway_fusion.norm.bias", "s1_fuse.bn.bias"),
    ("slowfast_r50", _as_it_is, _hub, "blocks.6.proj.weight", "blocks.6.proj.weight"),
    ("i3d_r50", lambda s: _slowfast_repository(_before_a_pool(s)), _hub, "blocks.6.proj.bias", "head.projection.bias"),
    ("c2d_r50", _as_it_is, _hub, "blocks.6.proj.bias", "blocks.6.proj.bias"),
    (
        "slow_r50-mmaction",
        _mmaction_slowonly,
        _mmengine,
        "blocks.4.res_blocks.0.branch1_norm.bias",
        "backbone.layer4.0.downsample.bn.bias",
    ),
    ("slow_r50_4x16-mmaction", _mmaction_slowonly, _mmengine, "blocks.5.proj.bias", "cls_head.fc_cls.bias"),
    (
        "i3d_r50-mmaction",
        lambda s: _mmaction_slowonly(_before_a_pool(s)),
        _mmengine,
        "blocks.5.res_blocks.2.branch2.norm_c.bias",
        "backbone.layer4.2.conv3.bn.bias",
    ),
    (
        "slowfast_r50-mmaction",
        _mmaction_slowfast,
        _mmengine,
        "blocks.1.multipathway_fusion.conv_fast_to_slow.weight",
        "backbone.slow_path.layer1_lateral.conv.weight",
    ),
    (
        "tsm_r50",
        _mmaction_tsm,
        _mmengine,
        "base_model.layer1.0.conv1.net.weight",
        "backbone.layer1.0.conv1.conv.net.weight",
    ),
    (
        "tsm_r50_16",
        lambda s: {f"module.{k}": v for k, v in s.items()},
        lambda s: {"state_dict": s, "best_prec1": torch.tensor(60.0)},
        "new_fc.weight",
        "module.new_fc.weight",
    ),
    (
        "tsn_r50",
        _mmaction_tsm,
        _mmengine,
        "base_model.layer1.0.conv1.weight",
        "backbone.layer1.0.conv1.conv.weight",
    ),
    (
        "tsn_r50",
        lambda s: {f"module.{k}": v for k, v in s.items()},
        lambda s: {"state_dict": s, "best_prec1": torch.tensor(60.0)},
        "base_model.layer4.2.conv3.weight",
        "module.base_model.layer4.2.conv3.weight",
    ),
    ("r3d_18-kenshohara", _kenshohara, lambda s: {"epoch": 200, "state_dict": s}, "stem.0.weight", "conv1.weight"),
    ("r3d_34-kenshohara", _kenshohara, _lightning, "layer4.2.conv2.1.running_var", "layer4.2.bn2.running_var"),
    ("r3d_50-kenshohara", _kenshohara, lambda s: s, "layer1.0.conv3.1.weight", "layer1.0.bn3.weight"),
]


@cache
def _network(name: str) -> nn.Module:
    torch.manual_seed(1)
    network = spec_named(name).build(11)
    for buffer in network.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    return network.eval()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "dialect", "wrap", "here", "there"), DIALECTS)
def test_checkpoints_under_their_publishers_names(
    tmp_path: Path,
    name: str,
    dialect: Callable[[State], State],
    wrap: Callable[[State], object],
    here: str,
    there: str,
) -> None:
    own = _network(name).state_dict()
    published = dialect(own)
    assert published[there].shape == own[here].shape and len(published) == len(own)
    torch.save(wrap(published), tmp_path / "w.pth")
    model = load_model(name, tmp_path / "w.pth")
    loaded = model.network.state_dict()
    assert set(loaded) == set(own) and all(torch.equal(loaded[k], own[k]) for k in own)
    assert len(model.labels) == 11 and "11 classes" in model.note


@pytest.mark.slow
def test_outputs_are_those_of_the_network_that_was_saved(tmp_path: Path) -> None:
    network = _network("r3d_18-kenshohara")
    torch.save({"state_dict": _kenshohara(network.state_dict())}, tmp_path / "w.pth")
    window = torch.randn(1, 3, 16, 112, 112, generator=torch.Generator().manual_seed(0))
    loaded = load_model("r3d_18-kenshohara", tmp_path / "w.pth", device="cpu").network
    with torch.inference_mode():
        assert torch.allclose(loaded(window), network(window), atol=1e-5)


def _meta(name: str) -> State:
    with torch.device("meta"):
        return spec_named(name).build(400).state_dict()


def _basic_blocks() -> State:
    """mmaction2's ResNet3d of depth 18, under its names."""
    names = [(r"stem\.0", "backbone.conv1.conv"), (r"stem\.1", "backbone.conv1.bn"), (r"fc", "cls_head.fc_cls")]
    names += [(rf"(layer\d\.\d)\.{a}\.0", rf"backbone.\1.{a}.conv") for a in ("conv1", "conv2", "downsample")]
    names += [(rf"(layer\d\.\d)\.{a}\.1", rf"backbone.\1.{a}.bn") for a in ("conv1", "conv2", "downsample")]
    return _published(_meta("r3d_18"), names)


UNFIT: dict[str, tuple[str, Callable[[], State], str]] = {
    "SlowOnly": (
        "slow_r50",
        lambda: _mmaction_slowonly(_meta("slow_r50")),
        "mmaction2's SlowOnly R50: it loads as slow_r50-mmaction",
    ),
    "I3D": (
        "i3d_r50",
        lambda: _mmaction_slowonly(_before_a_pool(_meta("i3d_r50"))),
        "mmaction2's I3D R50: it loads as i3d_r50-mmaction",
    ),
    "I3D as Inception": (
        "i3d",
        lambda: _mmaction_slowonly(_before_a_pool(_meta("i3d_r50"))),
        "mmaction2's I3D R50: it loads as i3d_r50-mmaction",
    ),
    "SlowFast": (
        "slowfast_r50",
        lambda: _mmaction_slowfast(_meta("slowfast_r50-mmaction")),
        "mmaction2's SlowFast R50 8x8: it loads as slowfast_r50-mmaction",
    ),
    "TSM": ("resnet50", lambda: _mmaction_tsm(_meta("tsm_r50")), "mmaction2's TSM R50: it loads as tsm_r50"),
    "MIT's TSM": ("slow_r50", lambda: _meta("tsm_r50"), "MIT's TSM on ResNet-50: it loads as tsm_r50"),
    "TSN": ("tsm_r50", lambda: _mmaction_tsm(_meta("tsn_r50")), "mmaction2's TSN R50: it loads as tsn_r50"),
    "MIT's TSN": ("slow_r50", lambda: _meta("tsn_r50"), "MIT's TSN on ResNet-50: it loads as tsn_r50"),
    "a deeper TSM": (
        "slow_r50",
        lambda: {**_meta("tsm_r50"), "base_model.layer3.6.conv1.net.weight": torch.zeros(1)},
        "a TSN or TSM of MIT on another network: vidcam has no such network",
    ),
    "R(2+1)D": (
        "r2plus1d_34_8",
        lambda: {f"backbone.layer1.0.conv1.conv.{n}.weight": torch.zeros(1) for n in ("conv_s", "conv_t")},
        "mmaction2's R(2+1)D: its stem has a max pool and 83 channels",
    ),
    "r3d": ("r3d_18", _basic_blocks, "mmaction2's ResNet3d of basic blocks: its max pools and strides in time"),
    "3D-ResNets": (
        "r3d_18",
        lambda: _kenshohara(_meta("r3d_18-kenshohara")),
        "3D-ResNets-PyTorch's ResNet-18: it loads as r3d_18-kenshohara",
    ),
    "3D-ResNets, 34": (
        "r3d_18",
        lambda: _kenshohara(_meta("r3d_34-kenshohara")),
        "3D-ResNets-PyTorch's ResNet-34: it loads as r3d_34-kenshohara",
    ),
    "3D-ResNets, 50": (
        "r3d_18",
        lambda: _kenshohara(_meta("r3d_50-kenshohara")),
        "3D-ResNets-PyTorch's ResNet-50: it loads as r3d_50-kenshohara",
    ),
    "3D-ResNets, shortcuts of type A": (
        "r3d_18-kenshohara",
        lambda: {k: v for k, v in _kenshohara(_meta("r3d_18-kenshohara")).items() if "downsample" not in k},
        "3D-ResNets-PyTorch's ResNet of another depth, or with shortcuts of type A",
    ),
    "SlowFast's repository": (
        "slow_r50",
        lambda: _slowfast_repository(_meta("slowfast_r50")),
        "SlowFast R50 of the SlowFast repository: it loads as slowfast_r50",
    ),
    "SlowFast's X3D": (
        "x3d_s",
        lambda: {
            f"s{n}": torch.zeros(1) for n in ("1.pathway0_stem.conv_xy.weight", "2.pathway0_res0.branch1_bn.weight")
        },
        "X3D of the SlowFast repository: its first shortcut has a batch norm, which pytorchvideo's",
    ),
    "a 2D ResNet": ("r3d_18", lambda: _meta("resnet18"), "a 2D ResNet: it has no time"),
    "torchvision's": ("slow_r50", lambda: _meta("r3d_18"), "torchvision's video ResNet: r3d_18"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_file_of_another_network_is_recognized(name: str) -> None:
    given, state, likeness = UNFIT[name]
    checkpoint = Checkpoint({f"module.{k}": v for k, v in state().items()}, "")
    spec = spec_named(given)
    with torch.device("meta"):
        network = spec.build(400)
    with pytest.raises(ModelError) as caught:
        found = fitted_to(network, checkpoint, spec.renamed).state
        check_fit(network, found, "weights", looks_like(checkpoint.state, given))
    message = str(caught.value)
    assert "do not fit the network" in message and f"they look like {likeness}" in message
    assert "no classifier" not in message


def test_a_damaged_file_of_the_right_network_is_not_sent_back_to_it() -> None:
    state = dict(_meta("tsm_r50"))
    assert "it loads as tsm_r50" in looks_like(state, "slow_r50") and looks_like(state, "tsm_r50") == ""


def test_a_file_that_lacks_a_tensor_is_incomplete_and_of_no_other_network(tmp_path: Path) -> None:
    state = spec_named("r2plus1d_18").build(3).state_dict()
    del state["layer1.0.conv1.0.0.weight"]
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(ModelError) as caught:
        load_model("r2plus1d_18", tmp_path / "w.pth")
    message = str(caught.value)
    assert "are incomplete: 1 missing: layer1.0.conv1.0.0.weight; all others fit" in message
    assert message.count("r2plus1d_18") == 1


def test_an_unknown_file_is_told_by_the_names_that_fit_and_those_that_do_not(tmp_path: Path) -> None:
    state = spec_named("playground-c3d").build(3).state_dict()
    first, *others = state
    torch.save(
        {"net": {**{name: state[name] for name in others}, "mystery.weight": torch.zeros(2, 2)}}, tmp_path / "w.pth"
    )
    with pytest.raises(ModelError) as caught:
        load_model("playground-c3d", tmp_path / "w.pth")
    message = str(caught.value)
    assert f"1 missing: {first}" in message and "1 unexpected: mystery.weight" in message
    assert f"{len(others)} fitting: {others[0]}" in message


def test_every_network_that_is_advised_exists() -> None:
    from vidcam.models.dialects import KNOWN

    advised = {name for known in KNOWN for name in re.findall(r"it loads as ([\w-]+)", known.advice)}
    assert advised and advised <= set(model_names())
