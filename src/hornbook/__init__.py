"""hornbook."""
