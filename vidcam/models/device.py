"""The device that a network runs on, by name."""

from __future__ import annotations

import torch

from vidcam.errors import SettingsError


def device_named(name: str) -> torch.device:
    """Return a device by name: "auto" for the GPU if there is one, "cpu", "cuda", "cuda:1", "mps".

    Raises:
        SettingsError: torch knows no such device, or this machine does not have it.

    Example:
        >>> device_named("cpu")
        device(type='cpu')
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).add(1).cpu()  # a device that is named may still not be there
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SettingsError(
            f"there is no device {name!r} on this machine ({reason}); give auto, cpu, or cuda"
        ) from error
    return device
