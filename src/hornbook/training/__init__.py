"""A run in, better weights out: how training starts, what it does, and how it stops.

Read in this order: ``start`` (a new run, or an old one continued) and ``fork``, ``warm_start``,
``session`` (what they share), ``loop`` (what happens between the first and the last step), ``step``
(one optimizer step), ``carrying``, ``evaluation``, ``closed_form`` (models that count instead),
``range_test``, ``devices``, ``interruption``. Several processes that train together: ``ranks``,
``meeting``, ``following``, ``spread``, ``sharing``.
"""

from hornbook.training.devices import choose_device
from hornbook.training.evaluation import Evaluation, evaluate
from hornbook.training.fork import fork
from hornbook.training.loop import Outcome
from hornbook.training.session import Interrupted
from hornbook.training.start import resume, train

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
