"""Texts that tokenizers stumble over, as hypothesis strategies."""

from hypothesis import strategies as st

AWKWARD = [
    "", " ", "\r", "\r\n", "\n\n\n", "\t ", "\x00", "\x1c", "\x85", "\u00a0", "\u1680", "\u2003",
    "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "\u200b", "\ufeff", "\u0301", "e\u0301",
    "ñ", "ſ", "'s", "'ſ", "'S", "’ll", "don't", "l’homme", "'", "٣٤", "½", "Ⅷ", "语言", "日本語の",
    "हिन्दी", "ไทย", "👩‍👩‍👧", "❤️", "🏳️‍🌈", "𝒜", "\U0010ffff", "<|endoftext|>", "<s>", "<?>",
    "<>", "</s>", "the", " the", "  the", "aaaa", "1234567", "--!?",
]  # fmt: skip
"""Every kind of white space, marks, joined emoji, all planes, and names of special tokens."""

any_text = st.one_of(
    st.text(max_size=40), st.lists(st.sampled_from(AWKWARD), max_size=12).map("".join)
)
few_letters = st.text(alphabet="ab c", max_size=14)
"""Short texts of few letters: runs, overlaps and equal counts on every page."""

CORPUS = [
    "The quick brown fox jumps over the lazy dog; the dog doesn't mind.\n",
    "Don't panic: 42 l’homme café naïve\r\n\tthe the THE aaaaaaa 1234567\u00a0語言 語言 👩‍👩‍👧",
]
