"""Programs to run by hand: `make` has a command for each."""
