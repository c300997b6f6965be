"""Background work, each a step that says when it wants to be called next."""
