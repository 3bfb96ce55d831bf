"""A run where people are: the Hugging Face hub and MLflow; what is shared holds nothing of the data."""
