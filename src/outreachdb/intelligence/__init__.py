"""What research, CRM systems, language models and voice agents know of leads."""
