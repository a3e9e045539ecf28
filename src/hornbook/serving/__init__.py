"""A run behind an address, as clients of OpenAI's completions expect one.

Read in this order: ``limits`` (how much is taken on), ``refusal`` (how a request is turned down),
``order`` (what a request asks for), ``engine`` (one thread that writes all texts together),
``choice`` (pieces of text into objects of the answer), ``completion`` (a request from order to
answer), ``guard`` (who may ask, and how much), ``application`` (which address does what),
``server`` (from start to the last answer).

    POST /v1/completions ─► guard ─► order ─► engine ─► choice ─► JSON, or events as they come
"""
