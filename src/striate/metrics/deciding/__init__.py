"""How answers are decided: by the costs of errors, and where it pays to say nothing."""
