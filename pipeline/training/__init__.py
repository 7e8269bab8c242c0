"""Training of models, which runs use and never make."""
