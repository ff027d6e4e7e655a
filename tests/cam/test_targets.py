from __future__ import annotations

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch

from vidcam.cam.targets import Contrast, InTime, class_index, class_scores, frame_scores, part_of, target_of, top_count
from vidcam.errors import TargetError

LABELS = ("archery", "Applauding", "applying cream", "Zumba", "zumba", "42")


@pytest.mark.parametrize(
    ("target", "expected"),
    [(0, 0), ("1", 1), ("archery", 0), ("ARCHERY", 0), (" applauding ", 1), ("zumba", 4), ("42", 5)],
)
def test_a_class_by_index_or_label(target: int | str, expected: int) -> None:
    assert class_index(target, LABELS) == expected


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (6, "class index 6 is out of range; the model has 6 classes, 0 to 5"),
        ("-1", "class index -1 is out of range"),
        ("ZUMBA", r"fits several classes: Zumba \(3\), zumba \(4\)"),
        ("apply", "nearest: applying cream"),
        ("qqqq", "the first are: archery"),
    ],
)
def test_wrong_targets_say_what_to_choose(target: int | str, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        class_index(target, LABELS)


def test_top() -> None:
    assert [top_count(t) for t in ("top", "top1", "Top-5", "topspin", 3)] == [1, 1, 5, None, None]
    with pytest.raises(TargetError, match="asks for no class"):
        top_count("top0")


def test_a_difference_of_classes() -> None:
    labels = ("waving", "high jump", "ice - skating")
    contrast = target_of("Waving - high jump", labels)
    assert contrast == Contrast(0, 1, "waving - high jump")
    assert contrast(torch.tensor([[3.0, 1.0, 0.0]])).tolist() == [2.0]
    assert target_of("ice - skating", labels) == 2
    assert target_of("ice - skating - 0", labels) == Contrast(2, 0, "ice - skating - waving")
    with pytest.raises(TargetError, match="'wavin' is not one of the model's 3 classes; nearest: waving"):
        target_of("wavin - high jump", labels)
    with pytest.raises(TargetError, match="label 'hihg jump' is not one of the model's 3 classes; nearest: high jump"):
        target_of("waving - hihg jump", labels)
    with pytest.raises(TargetError, match="label 'running' is not"):
        target_of("running - ice - skating in line", labels)
    with pytest.raises(TargetError, match="compares a class with itself"):
        target_of("waving - 0", labels)


def test_scores_are_found_in_what_networks_give() -> None:
    scores = torch.rand(2, 5)
    features = torch.rand(2, 7, 3)
    for output in (
        scores,
        {"logits": scores, "features": features},
        {"out": scores},
        (scores, None, 3, torch.ones(2, 3, dtype=torch.bool)),
        [{"scores": scores}],
        SimpleNamespace(logits=scores, features=features),
        SimpleNamespace(scores=scores, steps=3),
        Property(scores),
    ):
        assert class_scores(output) is scores
    for output in (features, (features,), "scores", None, {"logits": "text"}, torch.ones(2, 3, dtype=torch.int)):
        with pytest.raises(TargetError, match="no class scores"):
            class_scores(output)


@dataclass
class Property:
    """An output whose logits are a property."""

    held: torch.Tensor

    @property
    def logits(self) -> torch.Tensor:
        return self.held


Heads = namedtuple("Heads", ["features", "action"])


def test_features_are_never_taken_for_scores() -> None:
    scores, features = torch.rand(2, 3), torch.rand(2, 512)
    assert class_scores({"features": features, "logits": scores}) is scores
    for output, names in (
        ((features, scores), r"tuple of 2 tensors \(0: \(2, 512\), 1: \(2, 3\)\).*such as output=1;"),
        ({"one": features, "two": {"a": scores}}, r"dict of 2 tensors \(one: .*, two.a: \(2, 3\)\).*output='two.a'"),
        (Heads(features, scores), r"Heads of 2 tensors \(features: .*, action: .*output='action'"),
        (SimpleNamespace(x=features, y=scores), r"SimpleNamespace of 2 tensors \(x: .*output='y'"),
        ((scores, torch.rand(2, 7, 3)), r"tuple of 2 tensors"),
    ):
        with pytest.raises(TargetError, match=names):
            class_scores(output)


def test_a_part_of_an_output_is_picked_by_name_index_or_function() -> None:
    scores, features = torch.rand(2, 3), torch.rand(2, 512)
    for part, output in (
        (1, (features, scores)),
        ("1", (features, scores)),
        ("action", Heads(features, scores)),
        (1, Heads(features, scores)),
        ("two.1", OrderedDict(one=features, two=[features, scores])),
        (3, {3: scores, 4: features}),
        ("held", Property(scores)),
        ("logits", Property(scores)),
        (lambda output: output[-1], (features, scores)),
        (None, scores),
    ):
        assert part_of(part)(output) is scores  # type: ignore[arg-type]
    with pytest.raises(
        TargetError, match=r"output of the network has no part 'head.action'; its parts are features, logits"
    ):
        part_of("head.action")({"features": features, "logits": scores})
    with pytest.raises(TargetError, match="no part '2'; its parts are 0, 1"):
        part_of(2)((features, scores))
    with pytest.raises(TargetError, match="no part 'x'; its parts are none"):
        part_of("x")(scores)


def test_a_function_is_the_target_it_is() -> None:
    def score(output: torch.Tensor) -> torch.Tensor:
        return output[:, 0]

    assert target_of(score, ["a", "b"]) is score


@pytest.mark.parametrize(
    "target", ["9" * 5000, "top" + "9" * 5000, "-" + "9" * 5000, 10**5000], ids=["digits", "top", "negative", "int"]
)
def test_numbers_of_thousands_of_digits_are_no_classes(target: str | int) -> None:
    assert top_count(target) is None
    with pytest.raises(TargetError) as caught:
        class_index(target, ["a", "b"])
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("text", ["archery @ 3.2", "archery@3.2s", "archery @ 3.2 s", "ARCHERY  @ 3.20"])
def test_a_class_at_a_time(text: str) -> None:
    assert target_of(text, LABELS) == InTime(0, 3.2, "archery @ 3.2 s")


def test_a_label_that_looks_like_a_time_is_a_label() -> None:
    labels = ["meet @ 5", "meet"]
    assert target_of("meet @ 5", labels) == 0 and target_of("meet @ 6", labels) == InTime(1, 6.0, "meet @ 6 s")
    for text in ("meet @ five", "meet @ -1", "@ 3"):
        with pytest.raises(TargetError, match="is not one of the model's"):
            target_of(text, labels)


def test_scores_of_frames_in_each_order_of_axes() -> None:
    scores = torch.rand(2, 3, 5)  # n c t
    torch.testing.assert_close(frame_scores(scores, "n c t"), scores)
    torch.testing.assert_close(frame_scores({"logits": scores.transpose(1, 2)}, "n t c"), scores)
    torch.testing.assert_close(frame_scores((3, scores[:, 1]), "n t"), scores[:, 1:2])
    torch.testing.assert_close(frame_scores(scores[:, :, 0]), scores[:, :, :1])
    torch.testing.assert_close(class_scores(scores, "n c t"), scores.exp().sum(2).log())
    torch.testing.assert_close(frame_scores(scores[:, 0, 0], "n"), scores[:, :1, :1])
    torch.testing.assert_close(class_scores(scores[:, 0, 0], "n"), scores[:, 0, :1])
    with pytest.raises(TargetError, match=r"in which no class scores \(n, t, c\) are recognised"):
        frame_scores(torch.rand(2, 3), "n t c")
