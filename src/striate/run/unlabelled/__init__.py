"""What a finished run tells of items without labels: drift, and which of them to label next."""
