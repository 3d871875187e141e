"""What trained agents reach against scripted ones: a script for each environment's claim."""
