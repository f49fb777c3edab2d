"""What several formats share: names, and options that converted weights imply."""
