"""One HTML file that shows a divergence: tables and interactive charts, readable offline."""

from phc_snn.report.page import write_report

__all__ = ["write_report"]
