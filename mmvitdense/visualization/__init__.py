"""Pictures: labels and predictions on images, and what a training pipeline produces."""
