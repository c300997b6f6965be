"""What the node must not forget: state.db, its copies, and the refusal to guess when it is damaged."""
