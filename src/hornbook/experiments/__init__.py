"""Several runs beside each other, compared fairly, with a word on how sure the answer is.

A study trains each of its cells on the same number of real tokens, from the same initial weights,
with several seeds; measures all of them the same way; and says which differences are larger
than the noise.

Read in this order: ``study`` and ``axes`` (what is compared), ``study_file`` (those that come with
hornbook are TOML files in ``studies/``), ``measures`` (by what), ``preparation`` (the text, read
once), ``trial`` (a few steps of each cell), ``budget`` and ``planning`` (from a time to tokens,
steps and rows), ``record`` and ``outcomes`` (the study's folder), ``cells`` (a cell that is
trained), ``decoding`` and ``sampled_texts`` (a cell that samples), ``cell_work`` and ``workers``
(cells beside each other), ``student`` and ``statistics`` (means, intervals, differences),
``curves`` and ``comparison`` (what was found, and the verdict), ``outcome_files``, ``study_page``
and the plots, ``conduct`` (all of it).
"""

from hornbook.experiments.comparison import Comparison, Verdict
from hornbook.experiments.conduct import StudyInterrupted, compare, resume_study
from hornbook.experiments.study import Cell, Study
from hornbook.experiments.study_file import built_in_names, find_study, study_of

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
    "study_of",
]
