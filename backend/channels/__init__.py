"""How is someone reached? One small module per way."""
