"""A process that answers questions, for tests/test_process.py."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from vidcam.process import answer_questions


def answer(question: Any, progress: Callable[[Any], None]) -> Any:
    progress("begun")
    match question:
        case "sleep":
            time.sleep(60)
        case "die":
            os._exit(3)
        case "grow":
            held = bytearray(2**29)
            held[::4096] = b"x" * len(held[::4096])
            time.sleep(60)
    return {"process": os.getpid(), "question": question}


if __name__ == "__main__":
    answer_questions(answer)
