"""What is run by hand: `make` has a command for each."""
