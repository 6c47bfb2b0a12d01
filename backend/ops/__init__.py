"""How is it run? Servers, the supervisor, the embedded Redis."""
