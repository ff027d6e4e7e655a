"""Import of torchvision if its compiled operators do not load.

A torchvision built for CUDA beside a CPU-only torch cannot load its operators, and then fails while registering
them: `operator torchvision::nms does not exist`. vidcam calls none of these operators; for the import it is enough
that they are declared.
"""

from __future__ import annotations

import re
import sys
from threading import Lock
from types import ModuleType

import torch

from vidcam.errors import ModelError

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_importing = Lock()  # a thread that fails takes the modules of another away
_declared: dict[str, torch.library.Library] = {}  # a library's schemas live as long as the object


def import_torchvision() -> ModuleType:
    """Return `torchvision`, imported; schemas of its operators are declared only if the import needs them.

    Raises:
        ModelError: it is not installed, or its import fails for another reason.
    """
    with _importing:
        return _imported()


def _imported() -> ModuleType:
    while True:  # once more for each schema that was missing
        try:
            import torchvision

            return torchvision
        except ImportError as error:
            raise ModelError(
                f"torchvision cannot be imported ({error}); install it beside torch {torch.__version__}"
            ) from error
        except (RuntimeError, AttributeError) as error:
            for name in [n for n in sys.modules.copy() if n.split(".")[0] == "torchvision"]:
                del sys.modules[name]
            missing = re.search(r"torchvision::(\w+)", str(error))
            if missing is None or missing[1] not in _SCHEMAS or missing[1] in _declared:
                raise ModelError(
                    f"torchvision does not load beside torch {torch.__version__} ({error}); install the matching pair"
                ) from error
            library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
            library.define(_SCHEMAS[missing[1]])  # type: ignore[no-untyped-call]
            _declared[missing[1]] = library
