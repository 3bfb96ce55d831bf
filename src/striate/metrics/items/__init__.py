"""What figures say of single items: doubtful labels, odd ones, and what gives a class away."""
