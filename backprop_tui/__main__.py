"""`python -m backprop_tui` is the same as `backprop-tui`."""

from backprop_tui.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
