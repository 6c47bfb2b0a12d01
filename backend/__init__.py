"""chimein: tracks visitors, decides by rules, speaks at the right moment."""
