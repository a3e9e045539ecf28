"""Several runs beside each other, compared fairly, with a word on how sure the answer is.

A study trains each of its cells on the same number of real tokens, from the same initial weights,
with several seeds; measures all of them the same way; and says which differences are larger
than the noise.

Read in this order: ``study`` (what is compared; those that come with hornbook are TOML files in
``studies/``), ``preparation`` (the text, read once), ``trial`` (a few steps of each cell),
``budget`` (from a time to tokens, steps and rows), ``record`` (the study's folder), ``cells`` (one
cell with one seed), ``student`` and ``statistics`` (means, intervals, differences), ``comparison``
(what was found, and the verdict), ``outcome_files`` and ``plot``, ``conduct`` (all of it).
"""

from hornbook.experiments.comparison import Comparison, Verdict
from hornbook.experiments.conduct import StudyInterrupted, compare, resume_study
from hornbook.experiments.study import Cell, Study, built_in_names, find_study

__all__ = [
    "Cell",
    "Comparison",
    "Study",
    "StudyInterrupted",
    "Verdict",
    "built_in_names",
    "compare",
    "find_study",
    "resume_study",
]
