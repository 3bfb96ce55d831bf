"""What a run writes into a file for another engine, and how the file's answers are judged."""
