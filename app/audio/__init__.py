"""Audio files: fetch once, keep, name and serve them. No Flask and no ledger here."""
