"""Documents to passages in Milvus: plain functions and classes, no Serve."""
