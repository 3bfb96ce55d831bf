"""Convolutional networks for any grid: images, signals, volumes and graphs."""
