"""Rules and encodings of the Standard as functions without I/O."""
