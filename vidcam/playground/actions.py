"""The actions of the playground: body poses as functions of the phase within a cycle.

A pose lives in the image plane. Limb angles are degrees from straight down, positive away from the
body's midline (90 is horizontal, 180 straight up); lengths are fractions of the figure's stature.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from math import cos, pi, sin

NOTHING = "nothing"


@dataclass(frozen=True)
class Pose:
    """Joint angles in degrees, offsets in statures; the lowest foot stands on the ground plus `hop`."""

    dx: float = 0.0
    hop: float = 0.0
    lean: float = 0.0
    left_shoulder: float = 12.0
    left_elbow: float = 6.0
    right_shoulder: float = 12.0
    right_elbow: float = 6.0
    left_hip: float = 6.0
    left_knee: float = -4.0
    right_hip: float = 6.0
    right_knee: float = -4.0

    def mirrored(self) -> Pose:
        """Return the pose with left and right exchanged."""
        return Pose(
            -self.dx,
            self.hop,
            -self.lean,
            self.right_shoulder,
            self.right_elbow,
            self.left_shoulder,
            self.left_elbow,
            self.right_hip,
            self.right_knee,
            self.left_hip,
            self.left_knee,
        )

    def blended(self, other: Pose, weight: float) -> Pose:
        """Return this pose at weight 0, `other` at weight 1, and linear interpolations between."""
        return Pose(*(a + weight * (b - a) for a, b in zip(astuple(self), astuple(other))))


REST = Pose()


def sway(phase: float, amount: float) -> Pose:
    """Return the pose of a figure that stands and shifts its weight.

    Args:
        phase: in [0, 1), within a cycle.
        amount: strength of the motion.
    """
    s, c = sin(2 * pi * phase), cos(2 * pi * phase)
    return replace(
        REST,
        dx=0.03 * amount * s,
        lean=4 * amount * s,
        left_shoulder=12 + 7 * amount * c,
        right_shoulder=12 - 7 * amount * c,
        left_elbow=6 + 10 * amount * (1 + s),
        right_elbow=6 + 10 * amount * (1 - c),
    )


def walk(phase: float) -> Pose:
    """Return the pose of a passer-by, seen from the side, at a phase in [0, 1) of the step."""
    s = sin(2 * pi * phase)
    return replace(
        REST,
        left_shoulder=-26 * s,
        right_shoulder=-26 * s,
        left_elbow=8,
        right_elbow=8,
        left_hip=28 * s,
        right_hip=28 * s,
        left_knee=-14 * max(0.0, cos(2 * pi * phase)),
        right_knee=-14 * max(0.0, -cos(2 * pi * phase)),
    )


def _wave(p: float) -> Pose:
    return replace(REST, right_shoulder=128 + 6 * sin(2 * pi * p), right_elbow=28 + 44 * sin(2 * pi * p))


def _jump(p: float) -> Pose:
    if p < 0.4:
        bend = sin(pi * p / 0.4)
        return replace(
            REST,
            left_hip=6 + 34 * bend,
            right_hip=6 + 34 * bend,
            left_knee=-4 - 62 * bend,
            right_knee=-4 - 62 * bend,
            left_shoulder=12 - 6 * bend,
            right_shoulder=12 - 6 * bend,
        )
    air = (p - 0.4) / 0.6
    lift = 4 * air * (1 - air)
    return replace(
        REST, hop=0.26 * lift, left_shoulder=12 + 62 * lift, right_shoulder=12 + 62 * lift, left_hip=5, right_hip=5
    )


def _squat(p: float) -> Pose:
    d = (1 - cos(2 * pi * p)) / 2
    return replace(
        REST,
        left_hip=8 + 58 * d,
        right_hip=8 + 58 * d,
        left_knee=-6 - 98 * d,
        right_knee=-6 - 98 * d,
        left_shoulder=12 + 74 * d,
        right_shoulder=12 + 74 * d,
    )


def _kick(p: float) -> Pose:
    k = max(0.0, sin(2 * pi * p))
    fold = max(0.0, -sin(2 * pi * p))
    return replace(
        REST,
        lean=-13 * k,
        right_hip=6 + 92 * k,
        right_knee=-4 - 42 * fold,
        left_shoulder=30 + 26 * k,
        right_shoulder=26 + 10 * k,
    )


def _clap(p: float) -> Pose:
    forearm = 218 - 38 * cos(2 * pi * p)
    return replace(REST, left_shoulder=22, right_shoulder=22, left_elbow=forearm - 22, right_elbow=forearm - 22)


def _bow(p: float) -> Pose:
    d = (1 - cos(2 * pi * p)) / 2
    return replace(REST, lean=78 * d, left_shoulder=6, right_shoulder=6, left_elbow=4, right_elbow=4)


def _side_step(p: float) -> Pose:
    spread = abs(cos(2 * pi * p))
    return replace(
        REST,
        dx=0.24 * sin(2 * pi * p),
        hop=0.02 * spread,
        left_hip=4 + 24 * spread,
        right_hip=4 + 24 * spread,
        left_shoulder=20,
        right_shoulder=20,
    )


def _windmill(p: float) -> Pose:
    angle = 360 * p
    return replace(REST, right_shoulder=angle, left_shoulder=180 - angle, left_elbow=0, right_elbow=0)


def _punch(p: float) -> Pose:
    right, left = max(0.0, sin(2 * pi * p)) ** 0.7, max(0.0, -sin(2 * pi * p)) ** 0.7
    return replace(
        REST,
        lean=5 * (right - left),
        right_shoulder=34 + 56 * right,
        right_elbow=138 * (1 - right),
        left_shoulder=34 + 56 * left,
        left_elbow=138 * (1 - left),
        left_hip=13,
        right_hip=13,
    )


def _jumping_jack(p: float) -> Pose:
    d = (1 - cos(2 * pi * p)) / 2
    return replace(
        REST,
        hop=0.06 * abs(sin(2 * pi * p)),
        left_shoulder=12 + 152 * d,
        right_shoulder=12 + 152 * d,
        left_hip=4 + 26 * d,
        right_hip=4 + 26 * d,
    )


@dataclass(frozen=True)
class Action:
    """An action: its pose at a phase in [0, 1), and the seconds one cycle takes at normal speed."""

    pose: Callable[[float], Pose]
    period: float


ACTIONS: dict[str, Action] = {
    "bowing": Action(_bow, 1.3),
    "clapping": Action(_clap, 0.5),
    "jumping": Action(_jump, 0.9),
    "jumping jack": Action(_jumping_jack, 0.9),
    "kicking": Action(_kick, 0.9),
    "punching": Action(_punch, 0.7),
    "side-stepping": Action(_side_step, 1.1),
    "squatting": Action(_squat, 1.2),
    "waving": Action(_wave, 0.6),
    "windmill": Action(_windmill, 0.9),
}

LABELS: tuple[str, ...] = (*sorted(ACTIONS), NOTHING)
