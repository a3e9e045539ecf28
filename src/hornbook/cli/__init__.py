"""A person's wish in, one call into a room below, what came of it on the screen.

Read in this order: ``app`` (the commands, and how mistakes are told), ``screen`` (everything
that is drawn), then a file a topic. Results go to standard output; progress, notices and
mistakes go to standard error. Importing this room loads nothing heavy: each command imports
the rooms it calls when it runs, so that ``hornbook --help`` answers at once.
"""
