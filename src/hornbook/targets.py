"""The one mark that says: nothing is to be predicted here.

Windows write it where a target is padding; the objective, accumulation and bits per byte
leave it out. It stands on the ground floor because the rooms that write it and the rooms
that read it do not know each other.
"""

IGNORED_TARGET = -100
"""A target id that never counts (the value PyTorch's cross-entropy ignores by default)."""
