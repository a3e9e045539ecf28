"""Flow charts drawn from the code itself: of a model as it is built.

    flow = flow_of_run(resolve(preset="small"), vocab_size=2048)     # walks the built module
    picture = as_svg(flow, "small")

Read in this order: ``flow`` (what a chart consists of), ``shapes`` (what every module gives back,
as hooks see it), ``model_flow`` and ``block_flow`` (a module as a flow), ``layout`` (where
everything goes), ``drawing`` (SVG), ``mermaid`` (the same as text).
"""
