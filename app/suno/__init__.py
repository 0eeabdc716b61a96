"""Everything that knows Suno: its calls, its replies, its sign-in. No Flask and no store here."""
