"""The command line as a module: `python -m vidcam.cli`."""

from vidcam.cli import main

main()
