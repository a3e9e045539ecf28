"""A run in, better weights out: the loop, what it measures, and how it starts and stops.

Read in this order: ``start`` (train, resume, fork: what a person asks for), ``loop`` (what
happens between the first and the last step), ``step`` (one optimizer step), ``evaluation``,
``closed_form`` (models that count instead), ``devices``, ``interruption``.
"""

from hornbook.training.devices import choose_device
from hornbook.training.evaluation import Evaluation, evaluate
from hornbook.training.loop import Outcome
from hornbook.training.start import Interrupted, fork, resume, train

__all__ = [
    "Evaluation",
    "Interrupted",
    "Outcome",
    "choose_device",
    "evaluate",
    "fork",
    "resume",
    "train",
]
