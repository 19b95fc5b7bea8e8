"""What a person reads of runs and comparisons: JSON, a page, and tables for the terminal."""

from deployments.evaluation.reports.building import report_of_run
from deployments.evaluation.reports.run import RunReport
from deployments.evaluation.reports.settings import ReportSettings
from deployments.evaluation.reports.tables import comparison_table

__all__ = ["ReportSettings", "RunReport", "comparison_table", "report_of_run"]
