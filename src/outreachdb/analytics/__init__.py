"""Rollups and the reports that read them."""

from outreachdb.analytics.stats import CampaignStats, WorkspaceStats
from outreachdb.analytics.stats import campaign as campaign_stats
from outreachdb.analytics.stats import workspace as workspace_stats

__all__ = ["CampaignStats", "WorkspaceStats", "campaign_stats", "workspace_stats"]
