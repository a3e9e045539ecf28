"""A description in, a self-contained folder out, which opens again for ever.

Read in this order: ``config`` (what describes a run), ``resolution`` (preset, file and
words into one description), ``config_text``, ``assembly`` (the description into things),
``folder`` (where each thing lies), ``manifest``, ``journal``, ``checkpoints``, ``lock``,
``run`` (a run opened), ``verification``, ``archive``.
"""
