"""What turns answers into numbers: metrics, graders, judges, comparisons. No Serve, no HTTP."""
