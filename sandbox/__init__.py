"""A local Suno to write clients against: sign-in, songs, credits, stems, audio, at no cost."""
