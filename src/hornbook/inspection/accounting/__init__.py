"""What a model learns, computes and needs: counted by formula, and the formula is shown.

    account = account_of(resolve(preset="small"), vocab_size=2048)
    for part, what, amount in account.parameters:
        print(part, what, amount.formula, amount.value)

Read in this order: ``quantity`` (numbers that know their formula), ``sizes`` (the letters that
formulas are made of), ``parameters``, ``products`` (FLOPs), ``execution`` (where and in which
numbers), ``attention_activations`` and ``activations`` (what the forward pass keeps), ``standing``
(what is there all the time), ``peak`` (the most at once, and the largest batch that fits),
``devices`` (known cards), ``account`` (all of it for a run), ``fitting`` (what would fit).
"""
