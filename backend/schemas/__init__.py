"""How is it written? One shape per noun, for the API, the collector and the JSON columns."""
