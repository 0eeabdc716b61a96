"""What goes on after the reply, in a process of its own: `python -m app.jobs`. The ledger knows what there is."""
