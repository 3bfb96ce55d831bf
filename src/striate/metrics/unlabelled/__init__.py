"""What numbers tell of items without labels: whether they are like known ones, which to label."""
