"""Kernels work on raw addresses: they may read what a text has, and not a byte beyond it.

The text stands between two pages that nobody may touch; a read beyond either end of it would end
the process, so it is another process that tries.
"""

import subprocess
import sys

import pytest

CODE = """
import ctypes, faulthandler, mmap, random
import numpy as np
from hornbook.tokenizers import BPETokenizer
from hornbook.tokenizers.engine.counter import Counter
from hornbook.tokenizers.engine.encoder import Encoder
from hornbook.tokenizers.engine.tables import Vocabulary

faulthandler.enable()
page, pages = mmap.PAGESIZE, 4
memory = mmap.mmap(-1, (pages + 2) * page)
first = ctypes.addressof(ctypes.c_char.from_buffer(memory))
protect = ctypes.CDLL(None).mprotect
for place in (first, first + (pages + 1) * page):
    assert protect(ctypes.c_void_p(place), page, 0) == 0
room = np.ctypeslib.as_array((ctypes.c_uint8 * (pages * page)).from_address(first + page))

merges = [(116, 104), (256, 101), (32, 257), (97, 97), (259, 259)]
tokens = BPETokenizer(merges)._tokens[:261]
parts = ["the ", " the", "a", "é", "語", "山高水", "🙂", "'s", "'ſ", "'l", " ", "\\n", "\\u3000",
         "1", "!", "\\u0301", "a" * 20, "the" * 10, "a" * 300, "a" * 3000, "Q"]
draw = random.Random(1)
for pattern in ("gpt2", "cl100k", "o200k"):
    encoder = Encoder(Vocabulary(pattern, tokens, np.array(merges, np.int32), bytes(range(256))))
    for _ in range(200):
        text = "".join(draw.choices(parts, k=draw.choice([1, 2, 5, 30]))).encode()
        if draw.random() < 0.6:  # cut inside of characters, too
            begin = draw.randrange(len(text))
            text = text[begin : draw.randint(begin + 1, len(text))]
        text = text[: pages * page]
        for there in (room[: len(text)], room[-len(text) :]):
            there[:] = np.frombuffer(text, np.uint8)
            assert np.array_equal(encoder.ids(memoryview(there)), encoder.ids(text))
            Counter(pattern).add([memoryview(there)])
print("as expected")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="protects pages with Linux's mprotect")
def test_nothing_is_read_beyond_a_text(kernels: None) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "as expected\n"
