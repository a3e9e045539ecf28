"""Flow charts drawn from the code itself: of a built model, and of how a run is put together.

    flow = flow_of_run(resolve(preset="small"), vocab_size=2048)     # walks the built module
    picture = as_svg(flow, "small")

Read in this order: ``flow`` (what a chart consists of), ``shapes`` (what every module gives back,
as hooks see it), ``model_flow`` and ``block_flow`` (a module as a flow), ``layout`` (where
everything goes), ``drawing`` (SVG), ``mermaid`` (the same as text). How a
run is put together: ``settings_read`` (which settings a function reads), ``house``,
``house_drawing``.
"""
