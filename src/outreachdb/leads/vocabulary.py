"""The words that columns of this room take, and the columns of a lead, for all who need names but no tables.

The models are made of these words and a test compares the columns with the model's. SQLAlchemy takes longer to load
than a command should take to start, so only what makes or compares tables loads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

ENGAGEMENT_LEVELS = ("cold", "warm", "engaged", "hot")
LEAD_STATUSES = (
    "new",
    "verified",
    "contacted",
    "replied",
    "qualified",
    "converted",
    "unsubscribed",
    "bounced",
    "archived",
)
EMAIL_STATUSES = ("unchecked", "valid", "risky", "invalid", "unknown")
SUPPRESSION_REASONS = ("unsubscribed", "bounced", "complained", "blocked", "erased", "imported", "manual")

# In the order in which people read them and exports have them, with what a value is in Python.
LEAD_COLUMNS: Mapping[str, type] = {
    "workspace_id": int,
    "id": int,
    "email": str,
    "email_key": str,
    "first_name": str,
    "last_name": str,
    "phone": str,
    "phone_e164": str,
    "title": str,
    "company_id": int,
    "company_name": str,
    "company_website": str,
    "linkedin_url": str,
    "industry": str,
    "country": str,
    "city": str,
    "timezone": str,
    "source": str,
    "source_key": str,
    "status": str,
    "tags": list,
    "custom_fields": dict,
    "notes": str,
    "qualification_score": float,
    "qualification_latency_ms": int,
    "qualified_at": datetime,
    "email_status": str,
    "email_checked_at": datetime,
    "email_flags": list,
    "profile_checked_at": datetime,
    "created_at": datetime,
    "updated_at": datetime,
}
COMPUTED = frozenset(("email_key",))  # the database's own to write
