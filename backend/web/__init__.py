"""Who may call? The HTTP side."""
