"""The two marks that say: nothing stands here, and nothing is to be predicted here.

Windows write them where they are padded. The objective, accumulation and bits per byte leave
such targets out, and models such tokens. They stand on the ground floor because the rooms
that write them and the rooms that read them do not know each other.
"""

IGNORED_TARGET = -100
"""A target id that never counts (the value PyTorch's cross-entropy ignores by default)."""

PADDING_SEGMENT = -1
"""The segment of padding: a document of its own, so that no real token sees it."""
