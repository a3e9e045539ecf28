"""The fast engine: what ``bpe_reference`` and ``patterns`` say, as kernels. In reading order:

    machine         the few instructions that Python has no word for
    characters      the class of each character
    contractions    's, 'll and the like
    runs            where runs of white space, line ends and digits end
    cutting_gpt2    where GPT-2's pattern cuts
    cutting_cl100k  where GPT-4's does
    cutting_o200k   where GPT-4o's does
    cutting         all three behind one name
    workspace       the memory that encoding works in
    pairs           what two ids make
    merging         merging one pre-token
    segments        merging a long one
    ideographs      merging Chinese
    arena           what does not fit into the entry of a cache
    eight_words     what eight short pre-tokens are looked for by, at once
    words           the cache of short pre-tokens
    phrases         the cache of longer ones
    encoding        from text to ids, from cache hit to merge
    utf8            from Python's text to its bytes
    tables          what is known of a vocabulary
    encoder         all of it behind one object
    counting        how often each pre-token occurs
    counter         its tables, and how they grow
    training_state  what is known between two merges
    pair_queue      which pair is merged next
    learning        merges from counts
    trainer         its arrays, and a person who watches
    decoding        from ids to bytes

Nothing here is imported before it is worth compiling; see ``bpe_encoder``.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from hornbook.kernel_folder import kernel_folder
from hornbook.listener import SILENT, Listener

_LOG = logging.getLogger("hornbook")


def kept() -> bool:
    """Whether this machine has compiled kernels of the engine as it stands, without loading any."""
    if any(f"{__name__}.{user}" in sys.modules for user in ("encoder", "counter")):
        return True
    return any(kernel_folder(Path(__file__).parent).glob("encoding.encode-*.nbi"))


def announce(listener: Listener = SILENT) -> None:
    """Say so if kernels have to be compiled first; without a listener, as a logged warning."""
    if not kept():
        message = "compiling the tokenizer's kernels, once for this machine (up to a minute)"
        if listener is SILENT:
            _LOG.warning("hornbook: %s", message)
        else:
            listener.notice(message)
