"""A song in time: its words, beats and sections, and the files in which musicians' programs read them."""
