"""A run in, better weights out: how training starts, what it does, and how it stops.

Read in this order: ``start`` (a new run, or an old one continued) and ``fork``,
``warm_start``, ``session`` (what they share), ``loop`` (from the first step to the last),
``progress``, ``milestones`` and ``record`` (what is due between two steps, and who writes it),
``step`` (one optimizer step) with its ``batch_loss``, ``gradients`` and ``loss_scale``,
``carrying`` (hidden states from step to step), ``evaluation``, ``closed_form`` (models that count
instead), ``range_test``, ``interruption``, ``stops`` and ``fitting`` (what is said when it cannot
go on). What a run is trained with: ``equipment``, and ``devices``, ``precision``, ``compiling``,
``recomputation``, ``threads``. What is watched: ``watching``, and ``step_time``, ``updates``,
``peaks``, ``peak_memory``, ``jumps``, ``jump_notes``. What other tools are
shown: ``tracking``, ``tensorboard_tracker``, ``wandb_tracker``. Several processes that train
together: ``ranks``, ``meeting``, ``following``, ``spread``, ``sharing``. Found out beforehand:
``preflight`` (all of it), ``preflight_quick`` (what every training looks at), and what they ask in
``preflight_data``, ``preflight_sight``, ``preflight_loss``, ``preflight_steps`` and
``preflight_machine``; what cannot fit: ``expected_memory``, ``memory_there`` and ``free_memory``.
Measured for ``hornbook bench``: ``step_speed``, ``device_sweep`` with ``device_speed`` (what its
numbers say) and ``power``; both take ``fresh_steps``.
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
