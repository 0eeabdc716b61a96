"""Audio files: fetched once, kept, named, and handed out. Nothing of Flask, and nothing of the ledger."""
