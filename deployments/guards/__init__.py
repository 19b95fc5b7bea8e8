"""Guards: what is let through of questions, passages and answers. Plain classes, no Serve."""
