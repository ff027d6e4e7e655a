"""The page of `vidcam app` as a Space, with smaller limits and the token that every page in a network has."""

from vidcam.app.limits import Limits
from vidcam.app.server import serve

if __name__ == "__main__":
    serve("0.0.0.0", 7860, Limits(megabytes=64, seconds=30, work_seconds=300))
