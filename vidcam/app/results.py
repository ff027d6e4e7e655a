"""Results of visitors: a folder with a random name for each explained clip, of which a fixed set of files is served."""

from __future__ import annotations

import secrets
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response

from vidcam.app.limits import Limits, share
from vidcam.app.names import content_type
from vidcam.errors import VidcamError
from vidcam.export.page import PageOutputs

UNUSED = 1800  # seconds until a result is deleted that is not fetched
ARCHIVE = "vidcam.zip"
_PAGE = PageOutputs.within(Path())
_REPORT = _PAGE.page.name
_SHOWN = {"overlay.mp4", "overlay.png", "curve.png", _PAGE.film.name}
_SAVED = {ARCHIVE, "curve.csv", "explanation.npz", "summary.json"}
# A page of its own origin that may run its own script, show its film and do nothing else.
_SANDBOX = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; img-src data:; media-src data: {host}; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; frame-ancestors 'self'"
)


@dataclass
class Result:
    """A folder with the results of a clip.

    Attributes:
        key: 128 random bits; a visitor who has the key may see the result.
        folder: path of the folder; the working directory of the process that explains the clip.
        session: internal name of the session that owns it.
        address: network address of the visitor.
        clip: the name of the clip.
        used: time of the last use, in seconds of a monotonic clock.
    """

    key: str
    folder: Path
    session: str
    address: str
    clip: str
    used: float = field(default_factory=time.monotonic)


class Results:
    """The results of all visitors.

    Args:
        place: the folder for them.
        limits: of the page.
    """

    def __init__(self, place: Path, limits: Limits) -> None:
        self.place, self.limits = place, limits
        self._results: dict[str, Result] = {}

    def new(self, session: str, address: str, clip: str) -> Result:
        """Return a result with an empty folder; it replaces the session's former result.

        Args:
            session: the internal name of the visitor's session.
            address: the visitor's network address.
            clip: the name of the clip.

        Raises:
            VidcamError: there are too many results.
        """
        self.forget(session)
        if len(self._results) >= self.limits.results:
            raise VidcamError("There are too many results on this page now; try again in a few minutes.")
        if sum(r.address == address for r in list(self._results.values())) >= share(self.limits.results):
            raise VidcamError("Your network address has too many results on this page; close some of its pages.")
        key = secrets.token_urlsafe(16)
        result = Result(key, self.place / key, session, address, clip)
        (result.folder / "clip").mkdir(parents=True)
        self._results[key] = result
        return result

    def delete(self, result: Result) -> None:
        """Delete a result and its folder."""
        self._results.pop(result.key, None)
        shutil.rmtree(result.folder, ignore_errors=True)

    def forget(self, session: str) -> None:
        """Delete the results of a session."""
        for result in list(self._results.values()):
            if result.session == session:
                self.delete(result)

    def sweep(self) -> None:
        """Delete the results that were not used for too long."""
        now = time.monotonic()
        for result in list(self._results.values()):
            if now - result.used > UNUSED:
                self.delete(result)

    async def answer(self, request: Request) -> Response:
        """Return a file of a result as a response; its content type follows from its name in the fixed set."""
        result, name = self._results.get(request.path_params["key"]), request.path_params["name"]
        if result is None or name not in {_REPORT, f"clip/{result.clip}", *_SHOWN, *_SAVED}:
            return PlainTextResponse("Not here, or no longer.", 404)
        path = result.folder / name
        if not path.is_file():
            return PlainTextResponse("Not here, or no longer.", 404)
        result.used = time.monotonic()
        if name == _REPORT:
            policy = _SANDBOX.format(host=f"{request.url.scheme}://{request.url.netloc}")
            return FileResponse(path, media_type="text/html", headers={"Content-Security-Policy": policy})
        headers = {}
        kind = content_type(name)
        if name in _SAVED or not kind.startswith(("video/", "image/")):
            saved_as = f"{Path(result.clip).stem}-{ARCHIVE}" if name == ARCHIVE else name.rsplit("/", 1)[-1]
            headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(saved_as, safe='')}"
        return FileResponse(path, media_type=kind, headers=headers)
