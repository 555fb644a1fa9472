"""`python -m azx` is `azx`."""

from azx.cli.main import main

main()
