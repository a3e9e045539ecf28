"""Models of other tools in, and out again: GPT-2's and Llama's published layouts.

In the order to read them:

    tensor_files      weights on disk: one safetensors file or many, read a tensor at a time
    foreign_config    config.json, with everything in it that cannot be done
    layout            which of our tensors is which of theirs, in both directions
    form              what a published architecture has to say about itself
    gpt2, llama       the two that are known
    plain             both as on paper, straight from their own tensors
    agreement         whether our logits are those
    text_files        their tokenizer's files
    importing         a folder of theirs becomes a run
    exporting         a run becomes a folder of theirs

    run, report = import_model(GPT2, Path("gpt2"), out=Path("runs/gpt2"))
    export_huggingface(run, Path("gpt2-again"))
"""

from hornbook.interop.exporting import FORMS, Exported, export_huggingface
from hornbook.interop.form import Form
from hornbook.interop.gpt2 import GPT2
from hornbook.interop.importing import Imported, import_model
from hornbook.interop.llama import LLAMA

__all__ = [
    "FORMS",
    "GPT2",
    "LLAMA",
    "Exported",
    "Form",
    "Imported",
    "export_huggingface",
    "import_model",
]
