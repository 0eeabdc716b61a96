"""Work after the reply, in a separate process: `python -m app.jobs`. The ledger records every job."""
