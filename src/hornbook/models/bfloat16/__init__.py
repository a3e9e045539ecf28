"""Loops of our own for training in bfloat16 on one thread of a processor that has units for it."""
