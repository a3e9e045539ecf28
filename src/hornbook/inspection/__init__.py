"""A run in, pictures and pages out: everything drawn comes from the run's own files.

Read in this order: ``loss_curve`` (one picture: losses over steps, with what the model wrote
pinned to them), ``report`` (one page that needs no network).
"""

from hornbook.inspection.loss_curve import draw_loss_curve, loss_curve_svg
from hornbook.inspection.report import write_report

__all__ = ["draw_loss_curve", "loss_curve_svg", "write_report"]
