"""Several runs beside each other, compared fairly, with a word on how sure the answer is."""
