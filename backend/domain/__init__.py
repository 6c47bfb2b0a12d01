"""What is it? The nouns and the pure verbs: no I/O, no clock, no framework."""
