"""`python -m vidcam.cli`."""

from vidcam.cli import main

main()
