"""Vocabularies in the files of other tools, read and written exactly, or refused with the reason.

In the order to read them:

    files            reading, and JSON with the place of what is wrong
    byte_alphabet    tokens as visible characters
    merge_recovery   merges, where a file has only tokens
    tiktoken_file    tiktoken: tokens in base64 and ranks
    listed_merges    merges as two texts a line, and the ids they must have
    gpt2_files       GPT-2: vocab.json and merges.txt
    shared_syntax    patterns that two engines read alike
    pre_tokenizers   how Hugging Face writes where a text is cut
    huggingface      Hugging Face: tokenizer.json
    published        vocabularies that are known by name
    importing        whichever of these it is
"""
